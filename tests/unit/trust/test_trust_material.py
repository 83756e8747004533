"""What follows from lists and responses together: good, revoked, held for a while, unknown, and the best proof."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from nes import Eshs, usage

from kepgw.trust import devpki
from kepgw.trust.material import Good, Material, Revoked, Unknown, authority, choose, readable, sources, status, word

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOLD = x509.ReasonFlags.certificate_hold


@pytest.fixture(scope="module")
def eshs():
    return Eshs(at=NOW - 10 * DAY)


@pytest.fixture(scope="module")
def ali(eshs):
    return eshs.issue(begins=NOW - 9 * DAY, days=30)


def listed(octets):
    return Material("crl", octets)


def said(octets):
    return Material("ocsp", octets)


@pytest.fixture
def stand(eshs, ali):
    """Status at a time, by what is given."""

    def stand(at, *materials):
        return status(ali.der(), eshs.der(), materials, at)

    return stand


def test_good_unknown_and_expired(eshs, ali, stand):
    word = listed(eshs.crl(at=NOW))
    assert stand(NOW) == Unknown()
    assert stand(NOW, word) == Good(NOW + DAY)
    assert stand(NOW + DAY, word) == Good(NOW + DAY)
    assert stand(NOW + DAY + HOUR, word) == Unknown()
    assert stand(NOW - 5 * DAY, word) == Good(NOW + DAY)  # said later, so it was good then
    late = listed(eshs.crl(at=NOW + 40 * DAY))  # lists leave out what has expired
    assert stand(NOW + 20 * DAY, late) == Unknown()
    assert stand(NOW, said(eshs.response(ali, ocsp.OCSPCertStatus.UNKNOWN, at=NOW))) == Unknown()


def test_revoked_from_its_time_on_for_ever(eshs, ali, stand):
    gone = listed(eshs.crl(ali, at=NOW, when=NOW - DAY, reason=x509.ReasonFlags.key_compromise))
    assert stand(NOW, gone) == Revoked(NOW - DAY, "keyCompromise")
    assert isinstance(stand(NOW - DAY - HOUR, gone), Good)
    # neither age nor a later list that leaves it out brings it back
    assert isinstance(stand(NOW + 9 * DAY, gone, listed(eshs.crl(at=NOW + 9 * DAY))), Revoked)


def test_a_hold_that_ends(eshs, ali, stand):
    held = listed(eshs.crl(ali, at=NOW, when=NOW - HOUR, reason=HOLD))
    again = listed(eshs.crl(at=NOW + 2 * HOUR))
    assert stand(NOW, held) == Revoked(NOW - HOUR, "certificateHold")
    assert isinstance(stand(NOW - 2 * HOUR, held, again), Good)
    assert isinstance(stand(NOW + HOUR, held, again), Revoked)  # it was held then
    assert isinstance(stand(NOW + 2 * HOUR, held, again), Good)
    lifted = said(eshs.response(ali, at=NOW + HOUR))
    assert isinstance(stand(NOW + 2 * HOUR, held, lifted), Good)
    forever = listed(eshs.crl(ali, at=NOW + 3 * HOUR, when=NOW - HOUR))
    assert stand(NOW + 2 * HOUR, held, again, forever) == Revoked(NOW - HOUR, "")
    assert stand(NOW, said(eshs.response(ali, ocsp.OCSPCertStatus.REVOKED, at=NOW, reason=HOLD))) == Revoked(
        NOW, "certificateHold"
    )


def test_the_best_proof(eshs, ali):
    def best(at, *materials):
        return choose(ali.der(), eshs.der(), materials, at)

    first, second, third = (listed(eshs.crl(at=NOW + each * HOUR)) for each in (0, 6, 12))
    every = (third, first, second)
    assert best(NOW + HOUR, *every) == second  # the first said after it
    assert best(NOW + 6 * HOUR, *every) == second
    assert best(NOW + 13 * HOUR, *every) == third
    assert best(NOW + 3 * DAY, *every) is None
    answer = said(eshs.response(ali, at=NOW + 2 * HOUR))
    assert best(NOW + HOUR, *every, answer) == answer
    gone = listed(eshs.crl(ali, at=NOW + 7 * HOUR, when=NOW))
    assert best(NOW + HOUR, *every, gone) == gone


def test_what_a_list_does_not_speak_of(eshs, ali, stand):
    """RFC 5280 5.2.5, 6.3.3: a list of part of the certificates says nothing of the others."""

    def scoped(**given):
        values = dict.fromkeys(
            ("full_name", "relative_name", "only_some_reasons"),
        ) | dict.fromkeys(
            ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs"),
            False,
        )
        return listed(eshs.crl(at=NOW, extensions=[(x509.IssuingDistributionPoint(**(values | given)), True)]))

    assert isinstance(stand(NOW, scoped(only_contains_user_certs=True)), Good)
    reasons = frozenset({x509.ReasonFlags.key_compromise})
    name = [x509.UniformResourceIdentifier("http://a.example/1.crl")]
    for given in (
        {"only_contains_ca_certs": True},
        {"indirect_crl": True},
        {"only_contains_attribute_certs": True},
        {"only_some_reasons": reasons},
        {"full_name": name},
    ):
        assert stand(NOW, scoped(**given)) == Unknown()
    strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.999.1"), b"\x05\x00")
    assert stand(NOW, listed(eshs.crl(at=NOW, extensions=[(strange, True)]))) == Unknown()
    assert isinstance(stand(NOW, listed(eshs.crl(at=NOW, extensions=[(strange, False)]))), Good)
    delta = [(x509.DeltaCRLIndicator(1), True)]
    assert readable(eshs.crl(at=NOW, extensions=delta)) is None
    part = eshs.issue(lists=["http://a.example/1.crl"])
    assert isinstance(status(part.der(), eshs.der(), [scoped(full_name=name)], NOW), Good)


def test_whoever_may_not_say_it(eshs, ali, stand, monkeypatch):
    other = Eshs(at=NOW)
    for octets in (other.crl(ali, at=NOW), ali_signed(eshs, ali)):
        assert stand(NOW, listed(octets)) == Unknown()
    assert stand(NOW, said(other.response(ali, at=NOW))) == Unknown()
    # an issuer whose KeyUsage does not allow lists
    monkeypatch.setattr("nes.usage", lambda *_: usage("key_cert_sign"))
    plain = Eshs("Listesiz", at=NOW - DAY)
    monkeypatch.undo()
    below = plain.issue()
    assert status(below.der(), plain.der(), [listed(plain.crl(below, at=NOW))], NOW) == Unknown()


def ali_signed(eshs, ali):
    """A list in the issuer's name, signed by somebody below it."""
    forged = Eshs("Deneme ESHS", at=NOW)
    forged.key = ali.key
    return forged.crl(ali, at=NOW)


def test_a_responder_that_was_revoked(eshs, ali, stand):
    responder = eshs.issue("OCSP", extended=[ExtendedKeyUsageOID.OCSP_SIGNING])
    answer = said(eshs.response(ali, at=NOW, by=responder))
    assert isinstance(stand(NOW, answer), Good)
    assert stand(NOW, answer, listed(eshs.crl(responder, ali, at=NOW - DAY))) == Revoked(NOW - DAY, "")
    assert stand(NOW + 3 * HOUR, answer, listed(eshs.crl(responder, at=NOW - 3 * DAY))) == Unknown()


@pytest.mark.parametrize("kind", ["rsa-2048", "p-384"])
def test_algorithms_of_authorities(kind):
    """Turkish authorities sign with RSASSA-PSS (RG 25692 m.6)."""
    eshs = Eshs(kind=kind, at=NOW - DAY, pss=kind.startswith("rsa"))
    ali = eshs.issue()
    assert isinstance(status(ali.der(), eshs.der(), [listed(eshs.crl(at=NOW))], NOW), Good)
    assert isinstance(status(ali.der(), eshs.der(), [said(eshs.response(ali, at=NOW))], NOW), Good)


def test_addresses_in_certificates(eshs):
    many = [f"http://{each}.example/" for each in range(9)]
    found = sources(eshs.issue(responders=["ldap://x/", *many], lists=["HTTPS://a.example/b", "ftp://c/"]).der())
    assert found.ocsp == tuple(many[:4])
    assert found.crl == ("HTTPS://a.example/b",)
    assert sources(eshs.issue().der()) == ((), ())
    assert sources(b"0\x80") == ((), ())


def test_garbage_says_nothing(eshs, ali):
    for octets in (
        b"",
        b"0",
        b"0\x80\x00\x00",
        bytes(1000),
        eshs.der(),
        eshs.crl(at=NOW)[:-1],
        eshs.crl(at=NOW) + b"0",
    ):
        for kind in ("crl", "ocsp", "certificate"):
            assert word(Material(kind, octets), ali.der(), eshs.der()) is None
        assert readable(octets) is None
    assert word(listed(eshs.crl(at=NOW)), b"0", eshs.der()) is None
    with pytest.raises(ValueError, match="error"):
        authority(b"0")


@pytest.mark.oracle
def test_openssl_judges_the_development_lists(tmp_path):
    """Both lists hold for openssl, also after a renewal that keeps what was revoked."""
    devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm="p-256", at=NOW)
    keys, lists = tmp_path / "keys", tmp_path / "revocation"
    command = ["openssl", "verify", "-x509_strict", "-crl_check_all", "-CAfile", keys / "root.pem", "-untrusted",
               keys / "intermediate.pem", "-CRLfile", lists / "root.pem",
               "-CRLfile", lists / "intermediate.pem"]  # fmt: skip

    def openssl(at=NOW):
        for name in ("root", "intermediate"):
            crl = x509.load_der_x509_crl((lists / f"{name}.crl").read_bytes())
            (lists / f"{name}.pem").write_bytes(crl.public_bytes(Encoding.PEM))
        words = [*command, "-attime", str(int(at.timestamp())), keys / "process.pem"]
        return subprocess.run(words, capture_output=True, check=False, text=True)

    assert openssl().returncode == 0, openssl().stderr
    assert devpki.renew_lists(tmp_path, NOW + 300 * DAY) == []
    assert openssl(NOW + 366 * DAY).returncode != 0
    process = x509.load_pem_x509_certificate((keys / "process.pem").read_bytes())
    devpki.revoke(tmp_path, process, NOW)
    assert "certificate revoked" in openssl().stderr
    assert [path.name for path in devpki.renew_lists(tmp_path, NOW + 340 * DAY)] == ["root.crl", "intermediate.crl"]
    assert "certificate revoked" in openssl(NOW + 366 * DAY).stderr
    devpki.revoke(tmp_path, process, NOW + 341 * DAY, restore=True)
    assert openssl(NOW + 366 * DAY).returncode == 0
