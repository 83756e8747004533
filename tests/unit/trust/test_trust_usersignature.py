"""A sender's signature: what holds, at which grade, and what is refused with which word."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from nes import PART, QC_SEAL, QC_SIGNATURE, Eshs, by_openssl, by_us, opaque, wrap

from kepgw.errors import SignatureInvalid
from kepgw.message.usersignature import find
from kepgw.trust.useranchors import LOOK_AGAIN, Believed, UserAnchors
from kepgw.trust.usersignature import CERTIFICATE, SIGNATURE, qualified, verify

NOW = datetime.now(UTC)
DAY = timedelta(days=1)

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module", autouse=True)
def _openssl():
    assert shutil.which("openssl"), "openssl signs for the senders: scripts/setup-system.sh installs it"


@pytest.fixture(scope="module")
def eshs():
    return Eshs(at=NOW)


@pytest.fixture(scope="module")
def ali(eshs):
    return eshs.issue()


def believed(*authorities, **more):
    return Believed(tuple(each.der() for each in authorities), **more)


def judged(octets, *authorities, at=NOW, **more):
    return verify(octets, find(octets), believed(*authorities, **more), at)


def refused(octets, *authorities, **more):
    with pytest.raises(SignatureInvalid) as caught:
        judged(octets, *authorities, **more)
    return caught.value.check, str(caught.value)


def test_a_qualified_signature(eshs, ali):
    found = judged(wrap(PART, by_openssl(PART, ali)), eshs)
    assert (found.method, found.form, found.digest_algorithm, found.doubt) == ("QES", "as-is", "sha256", "")
    assert (found.name, found.authority) == ("Ali Yılmaz", "Deneme ESHS")
    assert found.serial == f"{ali.certificate.serial_number:x}"
    assert "10000000146" not in str(found)  # a citizen's number is nobody's to repeat


def test_over_an_intermediate_that_travels_along(eshs):
    below = Eshs("Alt ESHS", above=eshs, at=NOW)
    octets = wrap(PART, by_openssl(PART, below.issue()))
    assert judged(octets, eshs).method == "QES"
    assert judged(octets, below).method == "QES"  # an intermediate in the folder is an anchor too


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("rsa-2048", "rsa-sha256"),
        ("rsa-2048", "rsa-sha384"),
        ("rsa-2048", "rsa-sha512"),
        ("rsa-2048", "rsa-pss-sha256"),
        ("p-256", "ecdsa-sha256"),
        ("p-384", "ecdsa-sha384"),
    ],
)
def test_algorithms(eshs, kind, algorithm):
    found = judged(wrap(PART, by_us(PART, eshs.issue(kind=kind), algorithm)), eshs)
    assert (found.method, found.digest_algorithm) == ("QES", algorithm[-6:])


def test_the_digest_is_that_of_the_cms_not_of_micalg(eshs, ali):
    octets = wrap(PART, by_openssl(PART, ali, "-cades", "-md", "sha512"))
    assert b"micalg=sha1" in octets
    assert judged(octets, eshs).digest_algorithm == "sha512"


def test_an_authority_that_signs_with_pss():
    strong = Eshs(kind="rsa-2048", pss=True, at=NOW)
    assert judged(wrap(PART, by_openssl(PART, strong.issue(kind="rsa-2048"))), strong).method == "QES"


def test_forms_that_clients_sign(eshs, ali):
    close = PART.replace(b"\r\n\r\n--ic", b"\r\n\r\n\r\n--ic", 1)
    trimmed = PART.rstrip() + b"\r\n"
    stuffed = PART.replace(b"\n.", b"\n..")
    for sent, signed, form in (
        (PART, close, "preamble"),
        (close, PART, "preamble"),
        (stuffed, PART, "undotted"),
        (PART + b"\r\n \r\n", trimmed, "trimmed"),
        (stuffed + b"\r\n", trimmed, "trimmed-undotted"),
    ):
        assert judged(wrap(sent, by_openssl(signed, ali)), eshs).form == form
    # the preamble belongs to what is signed: as it stands when it was signed so
    assert judged(wrap(close, by_openssl(close, ali)), eshs).form == "as-is"


def test_opaque(eshs, ali):
    found = judged(opaque(PART, ali), eshs)
    assert (found.method, found.form) == ("QES", "opaque")
    large = PART + b"x" * (3 << 20)  # over the bound of a bare signature
    assert judged(opaque(large, ali, "-cades", "-md", "sha256", "-stream"), eshs).form == "opaque"
    assert refused(opaque(PART, ali)[:-60], eshs)[0] == SIGNATURE


def test_grades(eshs, ali):
    plain = eshs.issue(statements=None)
    octets = wrap(PART, by_openssl(PART, plain))
    assert judged(octets, eshs).method == "AdES-Plus"
    for anchors in ((), (Eshs("Başka ESHS", at=NOW),), (Eshs(at=NOW),)):  # the last one has the same name, another key
        found = judged(wrap(PART, by_openssl(PART, ali)), *anchors)
        assert found.method == "AdES"
        assert found.doubt
    assert qualified(ali.der())
    assert not qualified(plain.der())
    assert qualified(eshs.issue(statements=QC_SIGNATURE).der())
    assert not qualified(eshs.issue(statements=QC_SEAL).der())
    assert not qualified(eshs.issue(statements=b"\x30\x03\x02\x01").der())


@pytest.mark.parametrize("place", [b"Say=C4", b"belge.eyp", b"UEsDBB", b"--ic\r\nContent-Type: text"])
def test_every_altered_place_is_noticed(eshs, ali, place):
    octets = wrap(PART, by_openssl(PART, ali))
    at = octets.index(place)
    altered = octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]
    check, reason = refused(altered, eshs)
    assert check == SIGNATURE
    assert "not what was signed" in reason


def test_refused(eshs, ali):
    assert "sha1" in refused(wrap(PART, by_openssl(PART, ali, "-cades", "-md", "sha1")), eshs)[1]
    bare = wrap(PART, by_openssl(PART, ali, "-md", "sha256"))  # S/MIME without the CAdES attribute
    assert "signing-certificate" in refused(bare, eshs)[1]
    inside = wrap(PART, by_openssl(PART, ali, detached=False))
    assert "content of its own" in refused(inside, eshs)[1]
    weak = wrap(PART, by_openssl(PART, eshs.issue(kind="rsa-1024"), "-cades", "-md", "sha256"))
    assert "1024" in refused(weak, eshs)[1]
    assert refused(wrap(PART, b"0\x80garbage"), eshs)[0] == SIGNATURE


def test_a_certificate_for_another_purpose(eshs):
    server = eshs.issue(extended=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert judged(wrap(PART, by_openssl(PART, server)), eshs).method == "AdES"
    logon = eshs.issue(extended=[ExtendedKeyUsageOID.CLIENT_AUTH])
    assert judged(wrap(PART, by_openssl(PART, logon)), eshs).method == "QES"


def test_validity_at_the_time_of_submission(eshs):
    short = eshs.issue(begins=NOW - 10 * DAY, days=20)
    octets = wrap(PART, by_us(PART, short))
    assert judged(octets, eshs).method == "QES"
    assert refused(octets, eshs, at=NOW + 11 * DAY)[0] == CERTIFICATE
    assert refused(octets, eshs, at=NOW - 11 * DAY)[0] == CERTIFICATE


def test_revoked_by_a_list(eshs, ali):
    octets = wrap(PART, by_openssl(PART, ali))
    other = eshs.issue()
    assert judged(octets, eshs, crls=(eshs.crl(other),)).revocation_known
    check, reason = refused(octets, eshs, crls=(eshs.crl(ali, other),))
    assert check == CERTIFICATE
    assert "revoked" in reason
    # revoked later than the submission, by another authority, or by a forged list: nothing follows
    assert judged(octets, eshs, crls=(eshs.crl(ali, when=NOW + DAY),)).method == "QES"
    forger = Eshs(at=NOW)
    assert not judged(octets, eshs, crls=(forger.crl(ali),)).revocation_known
    # a list that is out of date vouches for nobody, and still revokes
    assert not judged(octets, eshs, at=NOW + 3 * DAY, crls=(eshs.crl(other),)).revocation_known
    assert refused(octets, eshs, at=NOW + 3 * DAY, crls=(eshs.crl(ali),))[0] == CERTIFICATE


def test_revoked_by_a_response(eshs, ali):
    octets = wrap(PART, by_openssl(PART, ali))
    revoked = ocsp.OCSPCertStatus.REVOKED
    assert judged(octets, eshs, responses=(eshs.response(ali),)).revocation_known
    assert not judged(octets, eshs, responses=(eshs.response(eshs.issue()),)).revocation_known
    assert refused(octets, eshs, responses=(eshs.response(ali, revoked),))[0] == CERTIFICATE
    responder = eshs.issue("OCSP", statements=None, extended=[ExtendedKeyUsageOID.OCSP_SIGNING])
    assert refused(octets, eshs, responses=(eshs.response(ali, revoked, by=responder),))[0] == CERTIFICATE
    stranger = Eshs(at=NOW).issue("OCSP", extended=[ExtendedKeyUsageOID.OCSP_SIGNING])
    for by in (stranger, ali):
        assert not judged(octets, eshs, responses=(eshs.response(ali, revoked, by=by),)).revocation_known


def test_an_intermediate_that_was_revoked(eshs):
    below = Eshs("Alt ESHS", above=eshs, at=NOW)
    octets = wrap(PART, by_openssl(PART, below.issue()))
    assert refused(octets, eshs, crls=(eshs.crl(below),))[0] == CERTIFICATE


def test_the_folder(eshs, ali, tmp_path):
    ticks = [0.0]
    anchors = UserAnchors(tmp_path / "user-anchors", clock=lambda: ticks[0])
    assert anchors.current() == Believed()
    folder = tmp_path / "user-anchors"
    folder.mkdir()
    (folder / "eshs.pem").write_bytes(eshs.pem())
    (folder / "same.der").write_bytes(eshs.der())
    (folder / "eshs.crl").write_bytes(eshs.crl(ali))
    (folder / "ali.ocsp").write_bytes(eshs.response(ali))
    (folder / "broken.crt").write_bytes(b"-----BEGIN nothing")
    (folder / "broken.crl").write_bytes(b"nothing")
    (folder / "broken.ocsp").write_bytes(b"nothing")
    (folder / "README.txt").write_text("not for us")
    assert anchors.current() == Believed()  # looked at a moment ago
    ticks[0] += LOOK_AGAIN
    found = anchors.current()
    assert found.anchors == (eshs.der(),)
    assert (found.crls, found.responses) == ((eshs_list(folder),), ((folder / "ali.ocsp").read_bytes(),))
    assert [problem.split(":")[0].rpartition("/")[2] for problem in found.problems] == [
        "broken.crl",
        "broken.crt",
        "broken.ocsp",
    ]
    ticks[0] += LOOK_AGAIN
    assert anchors.current() is found  # nothing changed: nothing is read
    (folder / "eshs.crl").unlink()
    ticks[0] += LOOK_AGAIN
    assert anchors.current().crls == ()


def eshs_list(folder):
    return (folder / "eshs.crl").read_bytes()


def test_a_list_in_pem(eshs, ali, tmp_path):
    octets = eshs.crl(ali)
    (tmp_path / "eshs.crl").write_bytes(x509.load_der_x509_crl(octets).public_bytes(Encoding.PEM))
    assert UserAnchors(tmp_path).current().crls == (octets,)
