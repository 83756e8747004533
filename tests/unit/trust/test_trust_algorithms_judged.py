"""Everything that can be signed with every setting of the algorithm, judged by programs that are not ours."""

import base64
import hashlib
import shutil
import subprocess

import pytest
from asn1crypto import cms as asn1
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from pyhanko.sign.validation import KeyUsageConstraints
from pyhanko.sign.validation.generic_cms import async_validate_cms_signature
from pyhanko_certvalidator import ValidationContext
from rfc3161_client import VerifierBuilder, decode_timestamp_response
from signxml.xades import XAdESSignatureConfiguration, XAdESVerifier
from trust_samples import AT, evidence

from kepgw.evidence import ts102640, xades
from kepgw.evidence.xades_reader import XADES
from kepgw.trust import cms
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.tokens import build_request, verify_token

pytestmark = pytest.mark.oracle

KEYS = {"rsa": ("rsa-2048",), "rsa-pss": ("rsa-2048",), "ecdsa": ("p-256", "p-384")}
SETTINGS = [(kind, name) for name, how in SIGNATURES.items() for kind in KEYS[how.kind]]
every_setting = pytest.mark.parametrize(("kind", "algorithm"), SETTINGS)
CONTENT = "Content-Type: text/plain\r\n\r\nİmzalı içerik.\r\n".encode()
NOW = int(AT.timestamp())


def test_the_table_is_whole():
    """RSA PKCS#1 and PSS, P-256 and P-384, each with SHA-256, SHA-384 and SHA-512."""
    digests = ("sha256", "sha384", "sha512")
    kinds = (("rsa-2048", "rsa"), ("rsa-2048", "rsa-pss"), ("p-256", "ecdsa"), ("p-384", "ecdsa"))
    assert set(SETTINGS) == {(key, f"{kind}-{digest}") for key, kind in kinds for digest in digests}


@every_setting
async def test_cades(pki, process_key, tsa, openssl, tmp_path, kind, algorithm):
    digest = hashlib.new(SIGNATURES[algorithm].digest, CONTENT).digest()
    made = cms.sign_detached(digest, process_key(kind, algorithm), AT, tsa)
    (tmp_path / "cms").write_bytes(made)

    def judged(content):
        (tmp_path / "content").write_bytes(content)
        words = ("cms", "-verify", "-cades", "-binary", "-crlfeol", "-inform", "DER", "-in", tmp_path / "cms")
        where = ("-content", tmp_path / "content", "-CAfile", pki(kind) / "root.pem", "-attime", NOW)
        return openssl(*words, *where, "-out", "/dev/null")

    assert b"CAdES Verification successful" in judged(CONTENT).stderr
    assert judged(CONTENT + b"x").returncode != 0

    roots = [asn1_x509.Certificate.load(load_anchors([pki(each) / "root.pem"])[0]) for each in {kind, "p-256"}]
    status = await async_validate_cms_signature(
        asn1.ContentInfo.load(made)["content"],
        raw_digest=digest,
        validation_context=ValidationContext(trust_roots=roots, moment=AT, allow_fetching=False),
        key_usage_settings=KeyUsageConstraints(key_usage={"digital_signature"}),
    )
    assert (status.intact, status.valid, status.trusted) == (True, True, True)
    assert status.md_algorithm == SIGNATURES[algorithm].digest


@every_setting
@pytest.mark.parametrize("enveloped", [True, False], ids=["enveloped", "filter 2"])
def test_xades(pki, process_key, tsa, tmp_path, kind, algorithm, enveloped):
    key = process_key(kind, algorithm)
    octets = xades.sign(ts102640.write(evidence(bytes(32))), key, AT, tsa, enveloped=enveloped)
    assert xades.verify(octets).algorithm == algorithm
    pss = SIGNATURES[algorithm].kind == "rsa-pss"
    if not pss:  # xmlsec 1.2 has no PSS
        assert shutil.which("xmlsec1"), "xmlsec1 judges: scripts/setup-system.sh installs it"
        file = tmp_path / "evidence.xml"
        words = ["xmlsec1", "--verify", "--id-attr:Id", f"{XADES}:SignedProperties", "--verification-time"]
        words += [f"{AT:%Y-%m-%d %H:%M:%S}", "--trusted-pem", pki(kind) / "root.pem", file]
        for xml, good in ((octets, True), (octets.replace(b"Deneme", b"Denemf"), False)):
            file.write_bytes(xml)
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) is good, done.stderr
    if enveloped:  # signxml passes over Filter 2
        body = base64.encodebytes(key.certificate).decode()
        results = XAdESVerifier().verify(
            octets,
            x509_cert=f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n",
            expect_config=XAdESSignatureConfiguration(expect_references=2),
        )
        assert any(each.signed_xml is not None and "EventTime" in str(each.signed_data) for each in results)


@every_setting
def test_tokens(pki, openssl, tmp_path, kind, algorithm):
    keys = pki(kind)
    tsa = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", algorithm=algorithm, purpose="tsa"), lambda: AT)
    digest = hashlib.sha256(CONTENT).digest()
    response = tsa.respond(build_request(digest, 99))
    (tmp_path / "response").write_bytes(response)
    token = tsa(digest)
    assert verify_token(token, digest, load_anchors([keys / "root.pem"])).time == AT
    if SIGNATURES[algorithm].kind == "rsa-pss":
        # openssl ts and rfc3161-client know no PSS (PKCS #7 of OpenSSL): openssl cms judges the signature alone
        (tmp_path / "token").write_bytes(token)
        words = ("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", tmp_path / "token", "-attime", NOW)
        done = openssl(*words, "-CAfile", keys / "root.pem", "-purpose", "any", "-out", "/dev/null")
        assert done.returncode == 0, done.stderr
        return

    def judged(wanted):
        words = ("ts", "-verify", "-digest", wanted.hex(), "-in", tmp_path / "response", "-attime", NOW)
        return openssl(*words, "-CAfile", keys / "root.pem")

    assert judged(digest).returncode == 0, judged(digest).stderr
    assert judged(bytes(32)).returncode != 0
    root = x509.load_pem_x509_certificate((keys / "root.pem").read_bytes())
    verifier = VerifierBuilder().add_root_certificate(root).nonce(99).build()
    assert verifier.verify(decode_timestamp_response(response), digest)
