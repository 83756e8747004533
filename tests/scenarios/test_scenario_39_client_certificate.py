"""39 Both relays show a certificate; whoever has the right service address but not the key is turned away."""

import datetime
import smtplib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from laboratory import blind, compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts


def client_certificate(folder, name):
    """A self-signed certificate for TLS clients and its key, two PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "relay.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "relay.key").write_bytes(private)


def mail_from(node, sender, *own):
    """The reply to MAIL of a client that shows this certificate."""
    context = blind()
    if own:
        context.load_cert_chain(*own)
    with smtplib.SMTP("127.0.0.1", node.base + 25, timeout=30) as client:
        client.starttls(context=context)
        client.ehlo()
        return client.mail(sender)


def test_who_has_the_key(make_world, tmp_path):
    world = make_world()
    here, there = world.here, world.there
    for node in (here, there):
        client_certificate(node.folder / "keys", node.domain)
        node.configure(relay__client_certificates=["keys/relay.pem"], relay__client_key="keys/relay.key")
    here.peer_with(there)
    there.peer_with(here)
    world.start()
    # each relay shows its own: dispatch one way, evidence the other
    world.here.send(compose(world.ali, [world.veli], "Anahtarlı", "Merhaba.\n"), world.ali, [world.veli])
    assert receipts(here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    # somebody at hs91 without the key of its relay
    code, text = mail_from(here, "kep@hs91.kep.tr")
    assert (code, text[:5]) == (550, b"5.7.1")
    assert b"client certificate" in text
    # the key of another relay that is known here
    third = type(here)(tmp_path / "hs92", "hs92.kep.tr").init()
    client_certificate(third.folder / "keys", third.domain)
    third.configure(relay__client_certificates=["keys/relay.pem"], relay__client_key="keys/relay.key")
    here.peer_with(third)
    keys = third.folder / "keys"
    code, _ = mail_from(here, "kep@hs91.kep.tr", keys / "relay.pem", keys / "relay.key")
    assert code == 550
    assert mail_from(here, "kep@hs92.kep.tr", keys / "relay.pem", keys / "relay.key")[0] == 250
    # a key that no card names: TLS itself ends
    (tmp_path / "stranger").mkdir()
    client_certificate(tmp_path / "stranger", "stranger")
    strange = tmp_path / "stranger" / "relay.pem", tmp_path / "stranger" / "relay.key"
    with pytest.raises((OSError, smtplib.SMTPException)):
        mail_from(here, "kep@hs91.kep.tr", *strange)
    own = there.folder / "keys"
    assert mail_from(here, "kep@hs91.kep.tr", own / "relay.pem", own / "relay.key")[0] == 250
