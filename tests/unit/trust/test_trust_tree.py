"""The tree of checks: every sub-indication from where it is made, sentences, drawing, and JSON."""

import base64
import hashlib
import shutil
from datetime import timedelta

import pytest
from asn1crypto import cms as asn1
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from trust_samples import AT, evidence

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence import evidencerecord, ts102640, xades
from kepgw.texts import catalogue
from kepgw.trust import cms, devpki, paths, tree
from kepgw.trust.certificates import highest, summary
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.judgement import Check
from kepgw.trust.keys import load_key
from kepgw.trust.material import Material
from kepgw.trust.paths import load_anchors
from kepgw.trust.trusted import Trusted


@pytest.fixture
def crl(pki, tmp_path):
    """crl("process", since) -> the list of its authority that revokes it; crl() -> one that revokes nothing."""

    def made(name="", since=AT, issuer="intermediate"):
        folder = tmp_path / name / str(since.timestamp())
        shutil.copytree(pki().parent, folder)
        path = folder / devpki.LISTS / f"{issuer}.crl"
        if name:
            certificate = x509.load_pem_x509_certificate((pki() / f"{name}.pem").read_bytes())
            path = devpki.revoke(folder, certificate, since)
        return Material("crl", path.read_bytes())

    return made


def subs(judgement):
    return {check.name: check.sub for _, check in judgement.every() if check.verdict == "bad"}


def signature(judgement, kind="signature-of-envelope"):
    return next(each for each in tree.of_message(judgement, "m.eml").branches() if each.kind == kind)


def test_all_holds(make, anchors):
    whole = tree.of_message(judge_message(make(), anchors), "ileti.eml")
    assert (whole.kind, whole.verdict, whole.status) == ("dispatch", "warning", "good")  # development
    signatures = [each for each in whole.branches() if each.is_signature]
    assert [each.kind for each in signatures] == ["signature-of-envelope", "signature-of-evidence"]
    assert {each.indication for each in signatures} == {"TOTAL-PASSED"}
    assert all(each.sub is None and each.verdict == "ok" for each in signatures)


def test_nobody_trusted_is_neither_good_nor_bad(make):
    whole = tree.of_message(judge_message(make(), []), "ileti.eml")
    assert (whole.verdict, whole.status) == ("not checked", "indeterminate")
    (envelope,) = [each for each in whole.branches() if each.kind == "signature-of-envelope"]
    assert (envelope.indication, envelope.sub) == ("INDETERMINATE", Sub.NO_CERTIFICATE_CHAIN_FOUND)
    (chain,) = [each for each in envelope.checks() if each.name == "envelope-chain"]
    signed = judge_message(make(), []).cms
    assert chain.values["fingerprint"] == summary(highest(signed.signer, signed.certificates)).sha256


# every sub-indication, from where it is made


def test_hash_failure(make, anchors):
    octets = make().replace("yazıyorum".encode(), "yazmıyorm".encode())
    judgement = judge_message(octets, anchors)
    assert subs(judgement) == {"envelope-signature": Sub.HASH_FAILURE, "digest": Sub.HASH_FAILURE}
    assert signature(judgement).indication == "TOTAL-FAILED"
    spoilt = judge_message(make(spoil=lambda xml: xml.replace(b"ali@hs91", b"eve@hs91")), anchors)
    assert subs(spoilt) == {"evidence-signature": Sub.HASH_FAILURE}


def test_sig_crypto_failure(make, anchors):
    def spoil(xml):
        at = xml.index(b">", xml.index(b"<ds:SignatureValue")) + 2
        return xml[:at] + (b"A" if xml[at : at + 1] != b"A" else b"B") + xml[at + 1 :]

    judgement = judge_message(make(spoil=spoil), anchors)
    assert subs(judgement) == {"evidence-signature": Sub.SIG_CRYPTO_FAILURE}
    assert signature(judgement, "signature-of-evidence").indication == "TOTAL-FAILED"


def test_format_failure(anchors):
    judged = judge_evidence(b"<not-signed/>", anchors)
    assert {each.name: each.sub for each in judged.checks if each.verdict == "bad"} == {
        "evidence-signature": Sub.FORMAT_FAILURE
    }
    branch = tree.of_evidence(judged)
    assert (branch.kind, branch.status) == ("unread-evidence", "bad")


def test_no_certificate_chain_found(make, pki):
    judgement = judge_message(make(), load_anchors([pki("p-384") / "root.pem"]))
    assert set(subs(judgement).values()) == {Sub.NO_CERTIFICATE_CHAIN_FOUND}
    branch = signature(judgement)
    assert (branch.indication, branch.verdict) == ("INDETERMINATE", "bad")


def test_expired_and_not_yet_valid_at_a_known_time(make, anchors):
    late, early = AT + timedelta(days=4 * 365), AT - timedelta(days=30)
    assert set(subs(judge_message(make(), anchors, late)).values()) == {Sub.EXPIRED}
    judgement = judge_message(make(), anchors, early)
    assert set(subs(judgement).values()) == {Sub.NOT_YET_VALID}
    assert signature(judgement).indication == "TOTAL-FAILED"


def test_out_of_bounds_without_proof_of_existence(make, pki, process_key, anchors):
    trusted = Trusted(anchors)
    signer = process_key()
    checks = trusted.chain("x", signer.certificate, signer.chain, AT + timedelta(days=4 * 365), proved=False)
    assert [(each.name, each.sub) for each in checks] == [("x-chain", Sub.OUT_OF_BOUNDS_NO_POE)]


def test_revoked(make, anchors, crl):
    octets = make()
    before = judge_message(octets, anchors, materials=[crl("process", AT - timedelta(hours=1))])
    assert subs(before) == {"envelope-revocation": Sub.REVOKED, "evidence-revocation": Sub.REVOKED}
    assert signature(before).indication == "TOTAL-FAILED"
    # the stamps prove that the signatures were there before the revocation
    after = judge_message(octets, anchors, materials=[crl("process", AT + timedelta(hours=1)), crl(issuer="root")])
    assert subs(after) == {}
    said = {each.name: each.verdict for _, each in after.every()}
    assert said["envelope-revocation"] == said["envelope-stamp-revocation"] == said["evidence-revocation"] == "ok"


def test_revoked_without_proof_of_existence(anchors, crl, process_key):
    signer = process_key()
    trusted = Trusted(anchors, materials=(crl("process", AT),))
    checks = trusted.chain("x", signer.certificate, signer.chain, AT + timedelta(days=1), proved=False)
    assert [(each.name, each.sub) for each in checks if each.verdict == "bad"] == [("x-revocation", Sub.REVOKED_NO_POE)]


def test_an_envelope_without_a_stamp_around_an_old_evidence(make, anchors, crl):
    """Whoever stole the key may have made the envelope after the revocation: the stamp inside does not speak of it."""
    materials = [crl("process", AT + timedelta(hours=1)), crl(issuer="root")]
    found = {
        each.name: each
        for _, each in judge_message(make(envelope_stamp=False), anchors, None, None, materials=materials).every()
    }
    late = found["envelope-revocation"]
    assert (late.verdict, late.sub) == ("warning", Sub.REVOKED_NO_POE)
    assert "01.03.2026 16:00:00 +03:00" in late.sentence("tr")
    assert found["evidence-revocation"].verdict == "ok"


def test_an_intermediate_that_was_revoked(make, anchors, crl):
    materials = [crl(), crl("intermediate", AT - timedelta(days=1))]
    judgement = judge_message(make(), anchors, materials=materials)
    assert subs(judgement) == {"envelope-revocation": Sub.REVOKED, "evidence-revocation": Sub.REVOKED}


def test_a_stamp_of_a_revoked_authority_proves_no_time(make, anchors, crl):
    judgement = judge_message(make(), anchors, AT, materials=[crl("tsa", AT - timedelta(days=1))])
    assert subs(judgement) == {
        "envelope-stamp-revocation": Sub.REVOKED,
        "evidence-stamp-revocation": Sub.REVOKED,
    }
    assert judgement.stamp is None
    assert signature(judgement).indication == "TOTAL-PASSED"  # the stamp is passed over (5.5.4), the tree says it
    assert tree.of_message(judgement, "m.eml").status == "bad"


def test_try_later(make, anchors):
    judgement = judge_message(make(), anchors)
    (check,) = [each for _, each in judgement.every() if each.name == "envelope-revocation"]
    assert (check.verdict, check.sub, check.indication) == ("not checked", Sub.TRY_LATER, "INDETERMINATE")


def test_no_signing_certificate_found(process_key, anchors):
    own, other = process_key(), process_key("p-384")
    made = cms.sign_detached(hashlib.sha256(b"x").digest(), own, AT)
    signed = asn1.ContentInfo.load(made)
    signed["content"]["certificates"] = asn1.CertificateSet([asn1_x509.Certificate.load(other.certificate)])
    with pytest.raises(SignatureInvalid) as caught:  # the certificate does not travel along
        cms.verify(signed.dump(force=True), bytes(32))
    assert caught.value.sub is Sub.NO_SIGNING_CERTIFICATE_FOUND
    xml = xades.sign(ts102640.write(evidence(bytes(32))), own, AT, None)
    swapped = xml.replace(base64.b64encode(own.certificate), base64.b64encode(other.certificate))
    judged = judge_evidence(swapped, anchors)
    (check,) = [each for each in judged.checks if each.name == "evidence-signature"]
    assert check.sub is Sub.NO_SIGNING_CERTIFICATE_FOUND


def test_crypto_constraints_failure(process_key, anchors):
    made = cms.sign_detached(hashlib.sha256(b"x").digest(), process_key(), AT)
    sha256 = bytes.fromhex("0609608648016503040201")
    with pytest.raises(SignatureInvalid) as caught:
        cms.verify(made.replace(sha256, bytes.fromhex("0609608648016503040204")), bytes(32))  # SHA-224
    assert caught.value.sub is Sub.CRYPTO_CONSTRAINTS_FAILURE
    xml = xades.sign(ts102640.write(evidence(bytes(32))), process_key(), AT, None)
    weak = xml.replace(b"xmldsig-more#ecdsa-sha256", b"xmldsig-more#ecdsa-sha1")
    (check,) = [each for each in judge_evidence(weak, anchors).checks if each.name == "evidence-signature"]
    assert check.sub is Sub.CRYPTO_CONSTRAINTS_FAILURE


def test_chain_constraints_failure(pki, anchors):
    (tls,) = load_anchors([pki() / "tls.pem"])
    (check,) = Trusted(anchors).chain("x", tls, (), AT, proved=True)
    assert check.sub is Sub.CHAIN_CONSTRAINTS_FAILURE


def test_certificate_chain_general_failure(monkeypatch, process_key, anchors):
    monkeypatch.setattr(paths, "_run", lambda work: (work.close(), 1 / 0))
    paths._remembered.clear()
    signer = process_key()
    (check,) = Trusted(anchors).chain("x", signer.certificate, signer.chain, AT, proved=True)
    assert check.sub is Sub.CERTIFICATE_CHAIN_GENERAL_FAILURE


def test_timestamp_order_failure(process_key, pki, anchors):
    keys = pki()
    early = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: AT)
    said = evidence(bytes(32), event_time=AT + timedelta(minutes=5))
    judged = judge_evidence(xades.sign(ts102640.write(said), process_key(), AT, early), anchors)
    (check,) = [each for each in judged.checks if each.name == "evidence-time"]
    assert (check.verdict, check.sub) == ("warning", Sub.TIMESTAMP_ORDER_FAILURE)
    assert "01.03.2026 15:05:00 +03:00" in check.sentence("tr")


@pytest.mark.parametrize(("days", "told"), [(0.9, []), (2, ["delayed"]), (4000, ["delayed"])])
def test_an_event_long_before_its_stamp(process_key, pki, anchors, days, told):
    """Whoever has the key can write any time into an evidence, and no authority stamps it into the past."""
    keys = pki()
    tsa = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: AT)
    said = evidence(bytes(32), event_time=AT - timedelta(days=days))
    judged = judge_evidence(xades.sign(ts102640.write(said), process_key(), AT, tsa), anchors)
    found = [each for each in judged.checks if each.name == "evidence-time"]
    assert [each.told for each in found] == told
    assert all(each.verdict == "warning" and each.sentence("tr") for each in found)


def test_signed_data_not_found(process_key, anchors):
    made = cms.sign_detached(hashlib.sha256(b"x").digest(), process_key(), AT)
    with pytest.raises(SignatureInvalid) as caught:
        cms.verify(made, {"sha512": bytes(64)})
    assert caught.value.sub is Sub.SIGNED_DATA_NOT_FOUND
    xml = xades.sign(ts102640.write(evidence(bytes(32))), process_key(), AT, None)
    (check,) = [each for each in judge_evidence(xml, anchors, AT).checks if each.name == "digest"]
    assert (check.verdict, check.sub) == ("not checked", Sub.SIGNED_DATA_NOT_FOUND)


def test_no_proof_of_existence(make, anchors):
    judgement = judge_message(make(stamped=False, envelope_stamp=False), anchors, AT)
    said = {each.name: (each.verdict, each.sub) for _, each in judgement.every()}
    assert said["evidence-stamp"] == ("warning", Sub.NO_POE)
    assert said["envelope-stamp"] == ("not checked", Sub.NO_POE)


def test_sig_constraints_failure_is_what_says_nothing_more():
    assert SignatureInvalid("x").sub is Sub.SIG_CONSTRAINTS_FAILURE
    assert SignatureInvalid("x", "a", Sub.REVOKED).under("b").sub is Sub.REVOKED


def test_an_error_of_an_evidence_record_says_what_it_means(tsa):
    (record,) = evidencerecord.initial([[b"x"]], tsa)
    with pytest.raises(SignatureInvalid) as caught:
        evidencerecord.verify(record, [b"y"], lambda *_: AT)
    assert caught.value.sub is Sub.HASH_FAILURE
    with pytest.raises(SignatureInvalid) as caught:
        evidencerecord.verify(record, [], lambda *_: AT)
    assert caught.value.sub is Sub.SIGNED_DATA_NOT_FOUND


# what people and programs read


def test_every_check_has_a_sentence_for_every_sub_indication():
    fields = (
        "name time top fingerprint issuer begins ends algorithm revoked root named event digest differences address"
        " identifier title file seq records domain count covered recipient codes size"
    )
    values = dict.fromkeys(fields.split(), "?")
    names = [key.removeprefix("check-") for key in catalogue() if key.startswith("check-")]
    for name in names:
        for sub in Sub:
            check = Check(name, "bad", sub=sub, values=values)
            assert len(check.sentence("tr")) > 10
            assert check.sentence("tr") != check.sentence("en")


def test_the_words_of_a_dispatch(make, anchors):
    lines = list(tree.draw(tree.of_message(judge_message(make(), anchors), "ileti.eml"), ("tr",)))
    assert lines[:7] == [
        "[uyarı] KEP iletisi: ileti.eml",
        "├─ [doğru] Zarfın imzası (TOTAL-PASSED)",
        "│  ├─ [doğru] Zarf imzası",
        "│  │     İmza geçerli: içerik, Process hs90.kep.tr tarafından imzalandığından beri değişmemiş",
        "│  │     (ecdsa-sha256).",
        "│  ├─ [doğru] Zarfı imzalayanın sertifika zinciri",
        "│  │     Process hs90.kep.tr sertifikası 01.03.2026 15:00:00 +03:00 itibarıyla geçerliydi ve",
    ]
    assert lines[-2:] == [
        "   └─ [uyarı] GELİŞTİRME işareti: hukuki değeri yoktur",
        "         Geliştirme anahtarlarıyla ya da geliştirme zaman damgasıyla yapılmış: hukuki değeri yoktur.",
    ]


def test_both_languages(make):
    drawn = "\n".join(tree.draw(tree.of_message(judge_message(make(), []), "ileti.eml"), ("tr", "en")))
    assert drawn.startswith("[denetlenmedi / not checked] KEP iletisi: ileti.eml / Dispatch: ileti.eml\n")
    assert "Güvendiğiniz" not in drawn
    assert "nobody vouches for" in drawn


def test_strangers_cannot_command_the_terminal(anchors):
    hostile = judge_evidence(b"<x/>", anchors, name="evil\x1b[31m\u202e.xml")
    drawn = "\n".join(tree.draw(tree.of_evidence(hostile), ("tr", "en")))
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn


def test_json(make, anchors):
    judgement = judge_message(make(), anchors)
    data = tree.as_json(tree.of_message(judgement, "ileti.eml"))
    envelope = data["checks"][0]
    assert (envelope["kind"], envelope["indication"], envelope["sub_indication"]) == (
        "signature-of-envelope", "TOTAL-PASSED", None,
    )  # fmt: skip
    chain = envelope["checks"][1]
    assert chain["name"] == "envelope-chain"
    assert chain["facts"]["time"] == "2026-03-01T12:00:00Z"
    found = tree.certificates(tree.of_message(judgement, "ileti.eml"))
    assert found[chain["certificate"]]["name"] == "Process hs90.kep.tr"
