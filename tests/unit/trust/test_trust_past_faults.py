"""What readers of time stamps got wrong before, each as a token or response of its own making that must be refused.

Cases from the change logs and advisories of rfc3161-client (1.0.1 to 1.0.6, CVE-2025-52556), of sigstore's
timestamp-authority, and of other readers of CMS. Two authorities, A and B, stand below the same trusted root.
"""

import hashlib
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from asn1crypto import cms as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU

from kepgw.errors import FormatError, SignatureInvalid, StampUnavailable
from kepgw.trust import cms, der, devpki
from kepgw.trust.cmsreading import TST_INFO
from kepgw.trust.devtsa import DEVELOPMENT_POLICY, DevelopmentTsa
from kepgw.trust.tokens import build_request, read_request, read_response, verify_token

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DIGEST = hashlib.sha256(b"delil").digest()
DAY = timedelta(days=1)


class Key:
    """A key with a certificate of any kind; ``like`` gives it the name and number of another."""

    algorithm = "ecdsa-sha256"

    def __init__(self, name, issuer=None, extensions=(), *, start=AT - DAY, life=10 * DAY, like=None):
        self.private = ec.generate_private_key(ec.SECP256R1())
        subject = devpki._name(name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.read.subject if issuer else subject)
            .public_key(self.private.public_key())
            .serial_number(like.read.serial_number if like else x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + life)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        self.read = builder.sign((issuer or self).private, hashes.SHA256())
        self.certificate = self.read.public_bytes(Encoding.DER)
        self.chain = ()

    def sign(self, octets):
        return self.private.sign(octets, ec.ECDSA(hashes.SHA256()))


STAMPING = devpki._leaf(EKU.TIME_STAMPING, [], critical=True)


@pytest.fixture(scope="module")
def root():
    return Key("Root", extensions=devpki._authority(1))


@pytest.fixture(scope="module")
def a(root):
    return Key("TSA A", root, STAMPING)


@pytest.fixture(scope="module")
def b(root):
    return Key("TSA B", root, STAMPING)


def token(key, *, at=AT, digest=DIGEST):
    return DevelopmentTsa(key, now=lambda: at)(digest)


def verify(octets, root, **more):
    return verify_token(octets, DIGEST, [root.certificate], **more)


def refused(octets, root, says, **more):
    with pytest.raises(SignatureInvalid, match=says) as caught:
        verify(octets, root, **more)
    assert caught.value.check == "time-stamp"


def rebuilt(octets, change):
    """A token with its SignedData changed by ``change(signed_data)``, everything else as it was."""
    info = asn1.ContentInfo.load(octets)
    signed = info["content"]
    change(signed)
    return asn1.ContentInfo({"content_type": "signed_data", "content": signed}).dump(force=True)


def certificates(signed, *keys):
    signed["certificates"] = [
        asn1.CertificateChoices("certificate", asn1.Certificate.load(each.certificate)) for each in keys
    ]


def certificates_of(signed, keys):
    certificates(signed, *keys)


def test_the_good_one_is_good(a, b, root):
    for key in (a, b):
        assert verify(token(key), root).tsa_certificate == key.certificate


# rfc3161-client 1.0.1 (#121), 1.0.6: the leaf is the certificate that the signer names, wherever it stands


@pytest.mark.parametrize("order", ["ab", "ba", "bar", "rba"])
def test_the_signer_is_who_signed_whatever_else_travels_along(a, b, root, order):
    keys = {"a": a, "b": b, "r": root}
    spoilt = rebuilt(token(a), lambda signed: certificates(signed, *(keys[each] for each in order)))
    assert verify(spoilt, root).tsa_certificate == a.certificate


def test_a_token_of_a_never_passes_for_one_of_b(a, b, root):
    """The signer identifier is not signed: who turns it to B must fail by the signing-certificate attribute."""

    def of_b(signed):
        certificates(signed, a, b)
        issuer = asn1.Certificate.load(b.certificate)
        signed["signer_infos"][0]["sid"] = asn1.SignerIdentifier(
            {"issuer_and_serial_number": {"issuer": issuer.issuer, "serial_number": issuer.serial_number}}
        )

    refused(rebuilt(token(a), of_b), root, "names another certificate")


def test_a_twin_with_the_same_name_and_number_is_not_the_signer(a, root):
    twin = Key("TSA A", root, STAMPING, like=a)
    refused(rebuilt(token(a), lambda signed: certificates(signed, twin)), root, "names another certificate")
    for keys in ((twin, a), (a, twin)):  # beside the true one: taken for that, or refused
        spoilt = rebuilt(token(a), partial(certificates_of, keys=keys))
        try:
            named = verify(spoilt, root).tsa_certificate
        except SignatureInvalid as error:
            named = str(error)
        assert named in {a.certificate, "the signing-certificate attribute names another certificate"}


def test_a_self_made_authority_beside_a_trusted_one(a, root):
    """The chain of a bystander proves nothing about the signer."""
    stranger = Key("TSA A", extensions=STAMPING)
    refused(rebuilt(token(stranger), lambda signed: certificates(signed, stranger, a)), root, "no path")


def test_no_certificate_at_all(a, root):
    refused(rebuilt(token(a), lambda signed: certificates(signed)), root, "does not travel")


# rfc3161-client 1.0.3, CVE-2025-52556: the signature of the response itself


def test_a_signature_by_nobody_under_a_trusted_certificate(a, root):
    class Liar(Key):
        """Shows the certificate of A and signs with a key of its own."""

        def __init__(self):
            super().__init__("Liar")
            self.certificate = a.certificate

    refused(token(Liar()), root, "signature")


@pytest.mark.parametrize("value", [b"", b"\0", b"\x30\x06\x02\x01\x00\x02\x01\x00", bytes(72)])
def test_an_empty_or_null_signature_value(a, root, value):
    def change(signed):
        signed["signer_infos"][0]["signature"] = value

    refused(rebuilt(token(a), change), root, "signature")


def test_no_signer_and_two_signers(a, b, root):
    def none(signed):
        signed["signer_infos"] = []

    other = asn1.ContentInfo.load(token(b))["content"]["signer_infos"][0]

    def two(signed):
        certificates(signed, a, b)
        signed["signer_infos"] = [signed["signer_infos"][0], other]

    refused(rebuilt(token(a), none), root, "0 signers")
    refused(rebuilt(token(a), two), root, "2 signers")


def test_content_that_was_exchanged_after_signing(a, root):
    other = asn1.ContentInfo.load(token(a, digest=hashlib.sha256(b"other").digest()))["content"]["encap_content_info"]

    def change(signed):
        signed["encap_content_info"] = other

    with pytest.raises(SignatureInvalid, match=r"was signed|other octets"):
        verify_token(rebuilt(token(a), change), hashlib.sha256(b"other").digest(), [root.certificate])


# rfc3161-client 1.0.1 (#120), sigstore #1389, #1416: what the certificate is for

AUTHORITY_THAT_STAMPS = [
    (x509.BasicConstraints(ca=True, path_length=0), True),
    (x509.KeyUsage(True, False, False, False, False, True, True, False, False), True),
    (x509.ExtendedKeyUsage([EKU.TIME_STAMPING]), True),
]


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        devpki._leaf(EKU.EMAIL_PROTECTION, [], critical=True),
        devpki._leaf(EKU.ANY_EXTENDED_KEY_USAGE, [], critical=True),
        devpki._leaf(EKU.TIME_STAMPING, [], critical=False),
        [(x509.ExtendedKeyUsage([EKU.TIME_STAMPING, EKU.CODE_SIGNING]), True)],
        [(x509.ExtendedKeyUsage([EKU.TIME_STAMPING, x509.ObjectIdentifier("1.2.3.4")]), True)],
        AUTHORITY_THAT_STAMPS,
    ],
    ids=["none", "email", "any", "not-critical", "not-alone", "unknown-beside", "a-ca"],
)
def test_a_certificate_that_is_not_for_time_stamps_alone(root, extensions):
    refused(token(Key("TSA", root, extensions)), root, r"RFC 3161 2\.3")


def test_an_intermediate_that_may_not_certify(a, root):
    """A leaf is no authority, whatever it signs."""
    below = Key("TSA below a TSA", a, STAMPING)
    refused(rebuilt(token(below), lambda signed: certificates(signed, below, a)), root, "CA|path")


# rfc3161-client 1.0.4 (#174): the time at which everything is judged is genTime


def test_an_authority_whose_certificate_has_ended_since(root):
    old = Key("TSA", root, STAMPING, start=AT - DAY, life=2 * DAY)
    assert verify(token(old), root).time == AT, "it was valid then, and that is what counts"
    refused(token(old, at=AT + 2 * DAY), root, "not at")
    refused(token(old, at=AT - 2 * DAY), root, "not at")


def test_a_root_that_ended_before_the_token(root):
    short = Key("Root", extensions=devpki._authority(1), start=AT - 3 * DAY, life=DAY)
    refused(token(Key("TSA", short, STAMPING)), short, "no path")


# nonces (rfc3161-client 0.0.2, pyasice #15) and the imprint


def test_a_missing_nonce_and_one_of_another_request(a, root):
    tsa = DevelopmentTsa(a, now=lambda: AT)
    refused(tsa.token(DIGEST), root, "nonce", nonce=7)
    refused(tsa.token(DIGEST, 8), root, "nonce", nonce=7)
    assert verify(tsa.token(DIGEST, 7), root, nonce=7)
    assert verify(tsa.token(DIGEST, 0), root, nonce=0)
    refused(tsa.token(DIGEST), root, "nonce", nonce=0)


def info(*parts):
    algorithm = der.sequence(der.oid("2.16.840.1.101.3.4.2.1"))
    fixed = {
        "version": der.integer(1),
        "policy": der.oid(DEVELOPMENT_POLICY),
        "imprint": der.sequence(algorithm, der.octet_string(DIGEST)),
        "serial": der.integer(1),
        "time": der.generalized_time(AT),
    } | dict(parts)
    return der.sequence(*fixed.values())


def signed_info(key, octets):
    return cms.envelop(TST_INFO, octets, hashlib.sha256(octets).digest(), key, AT)


def test_the_tst_info_made_by_hand_is_good(a, root):
    assert verify(signed_info(a, info()), root).accuracy is None


@pytest.mark.parametrize(
    "parts",
    [
        [("imprint", der.sequence(der.sequence(der.oid("1.3.14.3.2.26")), der.octet_string(bytes(20))))],  # SHA-1
        [("imprint", der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.2.3")), der.octet_string(DIGEST)))],
        [("imprint", der.sequence(der.sequence(der.oid("2.16.840.1.101.3.4.2.1")), der.octet_string(DIGEST[:31])))],
        [("version", der.integer(2))],
        [("time", der.tlv(0x18, b"20260301120000+0300"))],
        [("time", der.tlv(0x18, b"20260301120000"))],
        [("time", der.tlv(0x17, b"260301120000Z"))],
        [("accuracy", der.sequence(der.tlv(0x80, b"\x00")))],
        [("accuracy", der.sequence(der.tlv(0x80, b"\x03\xe8")))],
        [("accuracy", der.sequence(der.tlv(0x81, b"\x03\xe8")))],
        [("accuracy", der.sequence(der.integer(-1)))],
    ],
    ids=["sha1", "other-length", "short", "version", "offset", "no-zone", "utctime", "millis-0", "millis-1000",
         "micros-1000", "negative"],
)  # fmt: skip
def test_a_tst_info_that_breaks_the_grammar(a, root, parts):
    """RFC 3161 2.4.1, 2.4.2; rfc3161-client 0.0.2 (#43, #45) on Accuracy and TSTInfo."""
    refused(signed_info(a, info(*parts)), root, None)


def test_another_content_type_with_the_same_octets(a, root):
    octets = info()
    digest = hashlib.sha256(octets).digest()
    refused(cms.envelop("1.2.840.113549.1.7.1", octets, digest, a, AT), root, "content of type")

    def relabelled(signed):
        signed["encap_content_info"]["content_type"] = "1.2.840.113549.1.9.16.1.4"

    refused(rebuilt(cms.envelop("1.2.840.113549.1.7.1", octets, digest, a, AT), relabelled), root, "type|TSTInfo")


# responses


def test_a_status_that_is_not_granted_carries_no_token(a):
    given = token(a)
    for status in (2, 3, 4, 5):
        with pytest.raises(StampUnavailable, match=r"refused|readable"):
            read_response(der.sequence(der.sequence(der.integer(status)), given))
    for granted in (0, 1):
        assert read_response(der.sequence(der.sequence(der.integer(granted)), given)) == given
    with pytest.raises(StampUnavailable):
        read_response(der.sequence(der.sequence(der.integer(0))))
    with pytest.raises(StampUnavailable):
        read_response(der.sequence(der.sequence(der.integer(0)), given) + b"\0")


@pytest.mark.oracle
def test_the_judges_refuse_the_same(a, b, root, tmp_path):
    """Where openssl can tell, it agrees: the cases are what they say they are."""
    (tmp_path / "root.pem").write_bytes(root.read.public_bytes(Encoding.PEM))

    def judged(octets):
        (tmp_path / "token").write_bytes(octets)
        command = ["openssl", "ts", "-verify", "-digest", DIGEST.hex(), "-token_in", "-in", tmp_path / "token"]
        command += ["-CAfile", tmp_path / "root.pem", "-attime", str(int(AT.timestamp()))]
        return subprocess.run([str(each) for each in command], capture_output=True, check=False).returncode == 0

    assert judged(token(a))
    assert judged(signed_info(a, info()))
    twin = Key("TSA A", root, STAMPING, like=a)
    for bad in (
        rebuilt(token(a), lambda signed: certificates(signed, twin)),
        rebuilt(token(a), lambda signed: certificates(signed)),
        token(Key("TSA", root, devpki._leaf(EKU.TIME_STAMPING, [], critical=False))),
        token(Key("TSA A", extensions=STAMPING)),
    ):
        assert not judged(bad)


def test_requests_name_what_they_want():
    assert build_request(DIGEST, 7, "1.2.3") != build_request(DIGEST, 7)
    with pytest.raises(FormatError):
        read_request(build_request(DIGEST, 7) + b"\0")
