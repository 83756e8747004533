import socket
import ssl
import subprocess
import threading

import pytest

from kepgw.errors import ConfigurationError
from kepgw.trust.tls import client_context, fingerprint, server_context


def handshake(client, server):
    """Both ends of one TLS connection over a socket pair; gives the client's end, or raises its error."""
    left, right = socket.socketpair()
    failures = []

    def serve():
        try:
            with server.wrap_socket(right, server_side=True) as end:
                end.recv(1)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(left, server_hostname="localhost") as end:
            end.sendall(b"x")
            return end.version(), end.cipher()[0], end.compression(), end.getpeercert(binary_form=True)
    finally:
        left.close()
        thread.join()
        right.close()


def test_pinned_connection(pki):
    keys = pki()
    version, _, compression, certificate = handshake(
        client_context(), server_context(keys / "tls.pem", keys / "tls.key")
    )
    assert version == "TLSv1.3"
    assert compression is None
    shown = subprocess.run(
        ["openssl", "x509", "-in", keys / "tls.pem", "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        check=True,
    )
    assert fingerprint(certificate) == shown.stdout.decode().split("=")[1].strip().replace(":", "").lower()


def test_a_mail_client_that_trusts_the_root(pki):
    keys = pki()
    client = ssl.create_default_context(cafile=keys / "root.pem")
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    # the certificate began in March 2026: only its chain and names are judged here, whatever the clock says
    client.verify_flags |= 0x200000  # X509_V_FLAG_NO_CHECK_TIME
    assert handshake(client, server_context(keys / "tls.pem", keys / "tls.key"))[0] == "TLSv1.3"


def test_tls_1_2_with_forward_secrecy_only(pki):
    keys = pki("rsa-2048")
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    version, cipher, _, _ = handshake(client, server_context(keys / "tls.pem", keys / "tls.key"))
    assert version == "TLSv1.2"
    assert cipher.startswith("ECDHE-")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("spoil", ["old", "cbc"])
def test_weak_clients_are_turned_away(pki, spoil):
    keys = pki()
    client = client_context()
    if spoil == "old":
        client.set_ciphers("ALL:@SECLEVEL=0")
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
    else:
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(client, server_context(keys / "tls.pem", keys / "tls.key"))


def test_files_that_do_not_serve(pki, tmp_path):
    keys = pki()
    with pytest.raises(ConfigurationError, match="no such file"):
        server_context(tmp_path / "tls.pem", keys / "tls.key")
    with pytest.raises(ConfigurationError, match="belong together"):
        server_context(keys / "tls.pem", keys / "process.key")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-in", keys / "tls.key", "-aes128", "-passout", "pass:x", "-out", locked], check=True
    )
    with pytest.raises(ConfigurationError, match="unusable"):
        server_context(keys / "tls.pem", locked)
