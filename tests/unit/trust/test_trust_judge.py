import hashlib
import mmap
from datetime import timedelta
from types import SimpleNamespace

import pytest
from trust_samples import AT, ORIGINAL, evidence

from kepgw.errors import FormatError
from kepgw.evidence import ts102640, xades
from kepgw.evidence.codes import DEVELOPMENT_POLICY
from kepgw.evidence.model import Issuer
from kepgw.message.envelope import open_envelope
from kepgw.trust.digests import digest_canonical, digest_span
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.paths import load_anchors


def verdicts(judgement):
    return {check.name: check.verdict for _, check in judgement.every()}


def failed(judgement):
    return {check.name for _, check in judgement.every() if check.verdict == "bad"}


def test_a_dispatch_with_everything(make, anchors):
    judgement = judge_message(make(), anchors)
    assert judgement.good
    assert judgement.kind == "Dispatch"
    assert judgement.time == AT  # the stamp's time, not today's
    assert verdicts(judgement) == {
        "envelope-signature": "ok",
        "envelope-chain": "ok",
        "envelope-revocation": "not checked",  # nothing at hand says anything
        "envelope-stamp": "ok",
        "envelope-stamp-revocation": "not checked",
        "envelope-from": "ok",
        "headers": "ok",
        "evidence-content": "ok",
        "evidence-signature": "ok",
        "evidence-chain": "ok",
        "evidence-revocation": "not checked",
        "evidence-stamp": "ok",
        "evidence-stamp-revocation": "not checked",
        "digest": "ok",
        "development": "warning",  # the development TSA says so
    }


def test_a_receipt_and_its_original(make, anchors):
    receipt = make(None, envelope_stamp=False)
    alone = judge_message(receipt, anchors)
    assert alone.good
    assert alone.kind == "Message"
    assert verdicts(alone)["digest"] == "not checked"
    assert verdicts(alone)["envelope-stamp"] == "not checked"
    assert verdicts(judge_message(receipt, anchors, original=ORIGINAL))["digest"] == "ok"
    assert failed(judge_message(receipt, anchors, original=ORIGINAL + b"x")) == {"digest"}


def test_every_altered_octet_of_the_signed_part_is_noticed(make, anchors):
    octets = make()
    start, end = open_envelope(octets).signed
    for place in range(start, end, 7):
        spoilt = octets[:place] + bytes([octets[place] ^ 0x01]) + octets[place + 1 :]
        try:
            judgement = judge_message(spoilt, anchors)
        except FormatError:
            continue
        assert "envelope-signature" in failed(judgement), place


def test_an_altered_original(make, anchors):
    octets = make().replace("yazıyorum".encode(), "yazmıyorm".encode())
    assert failed(judge_message(octets, anchors)) == {"envelope-signature", "digest"}


def test_an_evidence_for_another_original(make, anchors):
    judgement = judge_message(make(digest=hashlib.sha256(b"other").digest()), anchors)
    assert failed(judgement) == {"digest"}
    assert not judgement.good


def test_an_altered_evidence(make, anchors):
    judgement = judge_message(make(spoil=lambda xml: xml.replace(b"ali@hs91", b"eve@hs91")), anchors)
    assert failed(judgement) == {"evidence-signature"}
    assert judgement.evidences[0].signer is None


def test_strangers(make, anchors, process_key, pki):
    stranger = load_anchors([pki("p-384") / "root.pem"])
    assert failed(judge_message(make(), stranger)) == {
        "envelope-chain",
        "envelope-stamp",
        "evidence-chain",
        "evidence-stamp",
    }
    mixed = judge_message(make(key=process_key("p-384")), anchors)
    assert failed(mixed) == {"envelope-chain", "evidence-chain"}
    assert judge_message(make(key=process_key("p-384")), stranger, stamp_anchors=anchors).good


def test_without_anchors_nothing_is_proved_and_nothing_fails(make):
    judgement = judge_message(make(), [])
    assert judgement.good
    for name in ("envelope-chain", "evidence-chain", "envelope-stamp", "evidence-stamp"):
        assert verdicts(judgement)[name] == "not checked"
    assert judgement.stamp is None


def test_the_given_time_rules_chains_but_not_stamps(make, anchors):
    late = judge_message(make(), anchors, AT + timedelta(days=4 * 365))
    assert failed(late) == {"envelope-chain", "evidence-chain"}
    assert late.stamp.time == AT


def test_evidence_without_stamp_only_warns(make, anchors):
    judgement = judge_message(make(stamped=False, envelope_stamp=False), anchors, AT)
    assert judgement.good
    assert verdicts(judgement)["evidence-stamp"] == "warning"


def test_headers_that_differ_warn(make, anchors):
    octets = make()
    end = octets.index(b"\r\n\r\n")
    outer = octets[:end].replace(b"delil-1@", b"delil-2@") + octets[end:]
    judgement = judge_message(outer, anchors)
    assert judgement.good
    (check,) = [check for _, check in judgement.every() if check.name == "headers"]
    assert (check.verdict, check.detail) == ("warning", "outer X-REM-EvidenceIdentifier differs from the evidence")
    inner = judge_message(make(headers=[("REM-MessageIdentifierByREMMD", "<other@hs90.kep.tr>")]), anchors)
    assert verdicts(inner)["headers"] == "warning"


def test_from_that_is_not_the_signer_warns(make, anchors):
    octets = make().replace(b"From: HS90 <kep@hs90.kep.tr>", b"From: HS90 <kep@hs91.kep.tr>", 1)
    judgement = judge_message(octets, anchors)
    assert judgement.good
    assert verdicts(judgement)["envelope-from"] == "warning"


def test_issuer_with_another_certificate(make, anchors, process_key):
    own, other = process_key(), process_key("p-384")
    named = Issuer("kep@hs90.kep.tr", "HS90", "hs90.kep.tr", own.certificate)
    assert judge_message(make(issuer=named), anchors).good
    named = Issuer("kep@hs90.kep.tr", "HS90", "hs90.kep.tr", other.certificate)
    assert failed(judge_message(make(issuer=named), anchors)) == {"evidence-issuer"}


def test_line_ends_lost_on_the_way_to_a_file(make, anchors):
    judgement = judge_message(make().replace(b"\r\n", b"\n"), anchors)
    assert judgement.good
    assert verdicts(judgement)["envelope-signature"] == "ok"
    assert verdicts(judgement)["digest"] == "ok"


def test_mapped_file(make, anchors, tmp_path):
    path = tmp_path / "message.eml"
    path.write_bytes(make())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        assert judge_message(octets, anchors).good


@pytest.mark.parametrize("octets", [b"", ORIGINAL, b"Content-Type: multipart/signed; boundary=x\r\n\r\n--x\r\n"])
def test_no_envelope(octets, anchors):
    with pytest.raises(FormatError):
        judge_message(octets, anchors)


def test_bare_evidence(process_key, tsa, anchors):
    xml = xades.sign(ts102640.write(evidence(hashlib.sha256(ORIGINAL).digest())), process_key(), AT, tsa)
    judged = judge_evidence(xml, anchors)
    assert judged.good
    assert judged.evidence.identifier == "delil-1@hs90.kep.tr"
    assert judged.stamp.time == AT
    right = judge_evidence(xml, anchors, original_digest=hashlib.sha256(ORIGINAL).digest())
    assert {check.name: check.verdict for check in right.checks}["digest"] == "ok"
    assert not judge_evidence(xml, anchors, original_digest=bytes(32)).good
    assert not judge_evidence(xml, anchors, original=b"other").good
    assert not judge_evidence(b"<xml/>", anchors).good
    foreign = judge_evidence(b'<Evidence xmlns="urn:other"/>', anchors)
    assert {check.name: check.verdict for check in foreign.checks}["evidence-content"] == "not checked"
    later = b'<Evidence xmlns="http://uri.etsi.org/19522/v1#"><ERDSEventId>x/Event/ContentAccessTracking</ERDSEventId>'
    judged = {check.name: check for check in judge_evidence(later + b"</Evidence>", anchors).checks}
    assert judged["evidence-content"].verdict == "not checked"  # of a later edition: no fault
    broken = {check.name: check for check in judge_evidence(later[:50] + b"/>", anchors).checks}
    assert broken["evidence-content"].verdict == "bad"
    assert not judge_evidence(b"rubbish", anchors).good


def test_a_moved_stamp(process_key, tsa, anchors):
    """A good token of another signature proves nothing about this one."""
    first, second = (
        xades.sign(ts102640.write(evidence(bytes([number]) * 32)), process_key(), AT, tsa) for number in (1, 2)
    )

    def token(xml):
        return xml[xml.index(b"<xades:EncapsulatedTimeStamp") : xml.index(b"</xades:EncapsulatedTimeStamp>")]

    judged = judge_evidence(second.replace(token(second), token(first)), anchors)
    assert {check.name for check in judged.checks if check.verdict == "bad"} == {"evidence-stamp"}


def test_development_policy_is_told(process_key, anchors):
    said = evidence(bytes(32), policies=(DEVELOPMENT_POLICY,))
    judged = judge_evidence(xades.sign(ts102640.write(said), process_key(), AT, None), anchors, AT)
    assert {check.name: check.verdict for check in judged.checks}["development"] == "warning"


def test_labels_in_both_languages(make, anchors):
    for _, check in judge_message(make(), anchors).every():
        assert check.label("tr") != check.label("en")
        assert check.word("tr") != check.word("en")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_digests_in_pieces(size):
    octets = (b"satir\r\n" * (size // 7 + 1))[:size]
    assert digest_span(b"ab" + octets + b"c", (2, 2 + size)) == hashlib.sha256(octets).digest()
    whole = octets.removesuffix(b"\r")
    assert digest_canonical(whole, (0, len(whole))) is None
    if size > 6:
        bare = whole.replace(b"\r\n", b"\n")
        assert digest_canonical(bare, (0, len(bare))) == hashlib.sha256(whole).digest()


def test_golden_messages(vectors):
    anchors = load_anchors(
        [vectors / "certificates" / name for name in ("REM-ROOT-CA.crt", "tsa-root-embedded-2020.pem")]
    )
    judged = 0
    for path in sorted(vectors.glob("S?_REM_*.eml")):
        judgement = judge_message(path.read_bytes(), anchors)
        assert judgement.good, (path.name, failed(judgement))
        said = verdicts(judgement)
        for name in ("envelope-signature", "envelope-chain", "envelope-from", "evidence-signature", "evidence-chain"):
            assert said[name] == "ok", (path.name, name)
        assert said["evidence-stamp"] == "ok", path.name
        assert said["evidence-content"] == "ok", path.name
        assert said["headers"] == "ok", path.name
        assert judgement.evidences[0].stamp.time.year == 2021
        judged += 1
    assert judged == 30


def test_golden_message_with_one_octet_altered(vectors):
    anchors = load_anchors([vectors / "certificates" / "REM-ROOT-CA.crt"])
    octets = (vectors / "S1_REM_Dispatch.RA01.eml").read_bytes()
    spoilt = octets.replace(b"Purchase order #1237", b"Purchase order #1238")
    assert spoilt != octets
    assert "envelope-signature" in failed(judge_message(spoilt, anchors))


def test_a_signer_whose_name_cannot_be_read(process_key, make, anchors):
    """The key of such a certificate can be read, and signs: that is judged and not an error of ours."""
    key = process_key()
    leaf = bytearray(key.certificate)
    leaf[leaf.index(b"\x0c", leaf.index(b"\x06\x03\x55\x04"))] = 0x0D  # RELATIVE-OID: no kind of string
    odd = SimpleNamespace(certificate=bytes(leaf), chain=(), algorithm=key.algorithm, sign=key.sign)
    judged = judge_message(make(key=odd), anchors)
    assert not judged.good
    assert [check.verdict for check in judged.checks if check.name == "envelope-from"] == ["warning"]
