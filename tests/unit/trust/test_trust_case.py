"""A whole case, good and spoilt in each of its parts."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from datetime import timedelta

import pytest
from case_samples import EVENTS, Provider, audit_path, case, listed, root
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nes import QC_SIGNATURE
from trust_samples import AT, ORIGINAL, evidence

from kepgw.errors import FormatError, Sub
from kepgw.evidence import evidencerecord, ledger, merkle, ts102640, xades
from kepgw.evidence.codes import Element, Event, KepCode, Reason
from kepgw.evidence.ledger import Statement
from kepgw.evidence.model import GivenReason
from kepgw.trust import course, devpki, manifest, tree
from kepgw.trust.case import judge_case
from kepgw.trust.casezip import CaseZip
from kepgw.trust.heads import judge_head, sign_head
from kepgw.trust.trusted import Trusted

FIRST = "evidence/000001-10-delil-10.xml"


@pytest.fixture(scope="module")
def hs90(tmp_path_factory):
    return Provider(tmp_path_factory.mktemp("hs90"), "hs90.kep.tr")


@pytest.fixture(scope="module")
def hs91(tmp_path_factory):
    return Provider(tmp_path_factory.mktemp("hs91"), "hs91.kep.tr")


@pytest.fixture(scope="module")
def trusted(hs90, hs91):
    return Trusted((hs90.certificate("root"), hs91.certificate("root")))


@pytest.fixture(scope="module")
def dispatch(make, hs90):
    at = AT + timedelta(seconds=10) - timedelta(minutes=5)
    changes = {"identifier": "delil-10@hs90.kep.tr", "event_time": at}
    return make(key=hs90.key, stamped=False, envelope_stamp=False, **changes)


@pytest.fixture(scope="module")
def whole(hs90, hs91, dispatch):
    return case(hs90, hs91, dispatch)


def bad(judged):
    return {(check.name, check.sub) for check in judged.tree.checks() if check.verdict == "bad"}


def warned(judged):
    return {check.name for check in judged.tree.checks() if check.verdict == "warning"} - {"development"}


def without(files, *prefixes):
    return {path: octets for path, octets in files.items() if not path.startswith(prefixes)}


def judged(files, trusted, at=AT):
    return judge_case(files, trusted, at)


def test_a_whole_case(whole, trusted):
    result = judged(listed(whole), trusted)
    assert bad(result) == set()
    assert result.tree.status == "good"
    assert warned(result) == {"evidence-stamp"}  # the one inside this dispatch is not stamped
    (ali,) = result.courses
    assert [step.code for step in ali.steps] == [10, 20, 40, 60]
    assert (ali.recipient, ali.state, ali.trusted, ali.missing) == ("ali@hs91.kep.tr", "read", True, ())
    names = [check.name for check in result.tree.checks()]
    assert names.count("inclusion") == names.count("record") == 4
    assert names.count("head-signature") == 1  # one head, however many proofs name it
    assert {each.verdict for each in result.tree.checks() if each.name.endswith("-revocation")} == {"ok"}
    assert (result.provider, result.exported) == ("hs90.kep.tr", AT.isoformat())
    assert {each["code"] for each in result.evidence} == {10, 20, 40, 60}


def test_what_is_proved_stands_first(whole, trusted):
    lines = list(tree.draw(judged(listed(whole), trusted).tree, ("tr",)))
    assert lines[:3] == [
        "[uyarı] Olay dosyası: case.zip",
        "├─ [doğru] Alıcı: ali@hs91.kep.tr",
        "│  ├─ [doğru] Olay",
    ]
    assert "│        Kanıtlanan: alıcı iletiyi 01.03.2026 14:56:00 +03:00 tarihinde okudu." in lines


def test_roots_of_the_case_are_trusted_by_nobody(whole, hs90):
    result = judged(listed(whole), Trusted())
    assert result.tree.status == "indeterminate"
    assert bad(result) == set()
    chains = [each for each in result.tree.checks() if each.name == "evidence-chain"]
    assert {each.sub for each in chains} == {Sub.NO_CERTIFICATE_CHAIN_FOUND}
    shown = {each.values["fingerprint"] for each in chains}
    assert hashlib.sha256(hs90.certificate("root")).hexdigest() in shown  # to be compared by a person
    (ali,) = result.courses
    assert (ali.state, ali.trusted) == ("read", False)
    (state,) = [each for each in result.tree.checks() if each.name == "state"]
    assert state.verdict == "not checked"


def test_one_of_two_providers_is_trusted(whole, hs90):
    result = judged(listed(whole), Trusted((hs90.certificate("root"),)))
    assert result.tree.status == "bad"
    assert {sub for _, sub in bad(result)} == {Sub.NO_CERTIFICATE_CHAIN_FOUND}
    (ali,) = result.courses
    assert ali.state == "accepted"  # what a stranger says proves nothing


def test_missing_altered_and_extra_files_are_named(whole, trusted):
    files = listed(whole)
    del files["dispatch/1.eml"]
    files["original/original.eml"] += b"x"
    files["note.txt"] = b"?"
    result = judged(files, trusted)
    told = [(each.told, each.values["file"]) for each in result.tree.checks() if each.name == "manifest"]
    assert told == [
        ("manifest-altered", "original/original.eml"),
        ("manifest-missing", "dispatch/1.eml"),
        ("manifest-extra", "note.txt"),
    ]
    assert ("digest", Sub.HASH_FAILURE) in bad(result)
    assert not result.courses  # evidence of another message proves nothing about this one


def test_findings_are_bounded(whole, trusted):
    files = listed(whole) | {f"x/{number}": b"" for number in range(1000)}
    checks = [each for each in judged(files, trusted).tree.checks() if each.name == "manifest"]
    assert len(checks) == 51
    assert "950" in checks[-1].sentence("en")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.update(format="kepgw-case/2"),
        lambda data: data["files"].append(data["files"][0]),
        lambda data: data["files"][0].update(path="../x"),
        lambda data: data["files"][0].update(sha256=1),
        lambda data: data.update(files=7),
        lambda data: data.pop("files"),
    ],
)
def test_a_manifest_that_cannot_be(whole, trusted, spoil):
    files = listed(whole)
    data = json.loads(files["case.json"])
    spoil(data)
    with pytest.raises(FormatError):
        judged(files | {"case.json": json.dumps(data).encode()}, trusted)


def test_no_manifest(whole, trusted):
    for files in (whole, whole | {"case.json": b"[]"}, whole | {"case.json": b"[" * 100_000}):
        with pytest.raises(FormatError):
            judged(files, trusted)


def test_an_evidence_that_was_altered(whole, trusted):
    files = dict(whole)
    files[FIRST] = files[FIRST].replace(b"ali@hs91", b"eve@hs91")
    result = judged(listed(files), trusted)
    assert bad(result) == {
        ("evidence-signature", Sub.HASH_FAILURE),
        ("inclusion", Sub.HASH_FAILURE),
        ("record", Sub.HASH_FAILURE),
    }
    assert {each.recipient for each in result.courses} == {"ali@hs91.kep.tr"}


def test_an_evidence_of_another_message(whole, trusted, hs91):
    files = dict(whole)
    files["evidence/000003-40-delil-40.xml"] = hs91.evidence(40, original=b"other")
    files = without(files, "ledger", "archive", "evidence/000004")
    result = judged(listed(files), trusted)
    assert bad(result) == {("digest", Sub.HASH_FAILURE)}
    (ali,) = result.courses
    assert (ali.state, ali.missing) == ("relayed", (KepCode.TESLIM,))
    alone = judged(listed(without(files, "original", "dispatch")), trusted)
    assert ("one-message", Sub.HASH_FAILURE) in bad(alone)


def test_a_provider_cannot_deliver_at_another_one(whole, trusted, hs90):
    """hs90 is trusted, and says that hs91 has delivered and that it was read there."""
    files = without(whole, "evidence/000003", "evidence/000004", "ledger", "archive")
    files["evidence/000003-40-x.xml"] = hs90.evidence(40)
    files["evidence/000004-60-x.xml"] = hs90.evidence(60, domain="hs91.kep.tr")  # even in its name
    result = judged(listed(files), trusted)
    (ali,) = result.courses
    assert [step.entitled for step in ali.steps] == [True, True, False]
    assert ali.state == "relayed"
    assert "step" in warned(result)
    assert bad(result) == {("evidence-issuer", Sub.NO_SIGNING_CERTIFICATE_FOUND)}


def test_what_is_missing(whole, trusted):
    def missing(*numbers):
        kept = {
            path: octets for path, octets in whole.items() if not path.startswith(("ledger", "archive", "dispatch"))
        }
        files = without(kept, *(f"evidence/00000{number}" for number in numbers))
        (ali,) = judged(listed(files), trusted).courses
        return ali.state, [int(code) for code in ali.missing]

    assert missing() == ("read", [])
    assert missing(4) == ("delivered", [])
    assert missing(3) == ("read", [40])
    assert missing(2) == ("read", [20])
    assert missing(1) == ("read", [10])
    assert missing(3, 4) == ("relayed", [40])
    assert missing(2, 3, 4) == ("accepted", [40])


def test_delivered_after_all(hs90, hs91, trusted):
    EVENTS[31] = (Element.RELAY_FAILURE, Event.DELIVERY_EXPIRATION)
    reasons = (GivenReason(Reason.R_REMMD_UNREACHABLE),)
    late = hs90.evidence(31, reasons=reasons, refers_to=1)
    files = {
        "original/original.eml": ORIGINAL,
        "evidence/000001-10-a.xml": hs90.evidence(10),
        "evidence/000002-31-a.xml": late,
    }
    (ali,) = judged(listed(files), trusted).courses
    assert ali.state == "unreached"
    files["evidence/000003-40-a.xml"] = hs91.evidence(40)
    (ali,) = judged(listed(files), trusted).courses
    assert (ali.state, ali.missing) == ("delivered-late", (KepCode.ILETILDI,))


def test_a_revoked_signer(whole, trusted, hs91, tmp_path):
    shutil.copytree(hs91.folder, tmp_path / "hs91")
    certificate = x509.load_der_x509_certificate(hs91.certificate("process"))
    octets = devpki.revoke(tmp_path / "hs91", certificate, AT - timedelta(hours=1)).read_bytes()
    result = judged(listed({**whole, "trust/revocation/new.crl": octets}), trusted)
    assert bad(result) == {("evidence-revocation", Sub.REVOKED)}
    (ali,) = result.courses
    assert ali.state == "accepted"


def test_proofs_and_records_that_do_not_fit(whole, trusted, hs90):
    files = dict(whole)
    files["ledger/proof-1.json"], files["ledger/proof-2.json"] = whole["ledger/proof-2.json"], b"{}"
    files["archive/1.ers"], files["archive/2.ers"] = whole["archive/4.ers"], b"rubbish"
    files["ledger/proof-99.json"] = whole["ledger/proof-3.json"]
    result = judged(listed(files), trusted)
    assert bad(result) == {
        ("inclusion", Sub.HASH_FAILURE),
        ("inclusion", Sub.FORMAT_FAILURE),
        ("record", Sub.HASH_FAILURE),
        ("record", Sub.FORMAT_FAILURE),
    }
    assert "unmatched" in warned(result)


def test_numbers_without_end(whole, trusted, hs90):
    """An infinite number is JSON to Python; a record of it under a head that the stranger signed himself."""
    files = dict(whole)
    files["ledger/proof-2.json"] = files["ledger/proof-2.json"].replace(b'"index": 1', b'"index": 1e999')
    said = {"seq": float("inf"), "digest": hashlib.sha256(files[FIRST]).hexdigest()}
    leaf = json.dumps(said).encode()
    head = sign_head(Statement("hs90.kep.tr", 1, merkle.leaf_hash(leaf), AT), hs90.key, hs90.tsa)
    files["ledger/proof-1.json"] = ledger.write_inclusion(leaf, 0, [], head)
    assert bad(judged(listed(files), trusted)) == {("inclusion", Sub.FORMAT_FAILURE)}


def test_an_archive_record_of_a_group(whole, trusted, hs90):
    """The dispatch and the original may stand in the record of evidence 10: neighbours do no harm."""
    files = dict(whole)
    group = [files[FIRST], files["dispatch/1.eml"], ORIGINAL]
    (files["archive/1.ers"],) = evidencerecord.initial([group], hs90.tsa)
    result = judged(listed(files), trusted)
    assert bad(result) == set()
    (first, *others) = [each for each in result.tree.checks() if each.name == "record"]
    assert (first.told, first.values["covered"]) == ("group", 2)
    assert {each.values["covered"] for each in others} == {0}


def test_an_archive_record_that_was_not_renewed_in_time(whole, trusted):
    result = judged(listed(whole), trusted, AT + timedelta(days=6 * 365))
    assert ("record", Sub.NO_POE) in bad(result)


def test_a_head_of_another_owner(hs90, hs91, trusted):
    statement = Statement("hs90.kep.tr", 1, bytes(32), AT)
    checks, judged = judge_head(sign_head(statement, hs91.key, hs91.tsa), trusted)
    assert [each.name for each in checks if each.verdict == "bad"] == ["head-signer"]
    assert judged is not None
    good = sign_head(statement, hs90.key, hs90.tsa)
    assert not [each for each in judge_head(good, trusted)[0] if each.verdict == "bad"]
    spoilt = ledger.Head(Statement("hs90.kep.tr", 2, bytes(32), AT).octets(), good.signature, good.token)
    checks, judged = judge_head(spoilt, trusted)
    assert [each.name for each in checks if each.verdict == "bad"] == ["head-signature"]
    assert judged is None


def test_a_proof_from_the_ledger_of_somebody_else(whole, trusted, hs91):
    """hs91 is trusted, and signs a head in the name of hs90 with an evidence of hs90 in it."""
    xml = whole[FIRST]
    record = {"digest": hashlib.sha256(xml).hexdigest(), "seq": 1}
    octets = ledger.canonical(record)
    head = sign_head(Statement("hs90.kep.tr", 1, merkle.leaf_hash(octets), AT), hs91.key, hs91.tsa)
    files = without(whole, "ledger", "archive") | {"ledger/proof-1.json": ledger.write_inclusion(octets, 0, [], head)}
    assert bad(judged(listed(files), trusted)) == {("head-signer", Sub.NO_SIGNING_CERTIFICATE_FOUND)}


@pytest.mark.parametrize(
    ("address", "statements", "told"),
    [
        ("", b"", "unnamed"),
        ("veli@firma.hs91.kep.tr", b"", "stranger"),
        ("ali@hs92.kep.tr", b"", "stranger"),
        ("veli@hs91.kep.tr", QC_SIGNATURE, "person"),
    ],
)
def test_a_user_does_not_speak_for_a_provider(whole, trusted, hs91, address, statements, told, tmp_path):
    """A user's certificate below the same root signs a delivery in the name of hs91."""
    files = without(whole, "evidence/000003", "evidence/000004", "ledger", "archive")
    files["evidence/000003-40-x.xml"] = hs91.evidence(40, key=hs91.user(address, tmp_path, statements))
    result = judged(listed(files), trusted)
    (ali,) = result.courses
    assert ali.state == "relayed"
    (issuer,) = [each for each in result.tree.checks() if each.name == "evidence-issuer"]
    assert (issuer.told, issuer.verdict) == (told, "bad" if told == "stranger" else "warning")
    assert issuer.sentence("tr") != issuer.sentence("en")


def test_a_root_that_came_with_a_card_vouches_for_its_owner_alone(whole, hs90, hs91, tmp_path):
    """hs91 has a root of its own and makes a certificate for hs90, to accept a message that hs90 never saw."""
    roots = hs90.certificate("root"), hs91.certificate("root")
    files = {
        "original/original.eml": ORIGINAL,
        "evidence/000001-10-x.xml": hs90.evidence(10, key=hs91.user("kep@hs90.kep.tr", tmp_path)),
    }
    assert judged(listed(files), Trusted(roots)).tree.status == "good"  # whoever trusts a root trusts its word
    bound = Trusted(roots, owners={roots[1]: frozenset({"hs91.kep.tr"})})
    result = judged(listed(files), bound)
    assert ("evidence-chain", Sub.CHAIN_CONSTRAINTS_FAILURE) in bad(result)
    assert not result.courses
    assert judged(listed(whole), bound).tree.status == "good"


def test_the_recipient_s_provider_cannot_accept_for_the_sender(trusted, hs91):
    files = {"original/original.eml": ORIGINAL, "evidence/000001-10-a.xml": hs91.evidence(10)}
    (ali,) = judged(listed(files), trusted).courses
    assert [step.entitled for step in ali.steps] == [False]
    assert ali.state == ""


def test_an_original_that_no_evidence_names(whole, trusted, hs90):
    """Whoever leaves evidence with a digest out may put any original in."""
    said = ts102640.write(evidence(hashlib.sha256(ORIGINAL).digest()))
    said, count = re.subn(rb"<rem:SenderMessageDetails.*</rem:SenderMessageDetails>", b"", said, flags=re.DOTALL)
    assert count == 1
    xml = xades.sign(said, hs90.key, AT, hs90.tsa)
    files = {"original/original.eml": b"Subject: x\r\n\r\nother\r\n", "evidence/000001-10-a.xml": xml}
    assert ("original", "unvouched") in {
        (each.name, each.told) for each in judged(listed(files), trusted).tree.checks()
    }


def test_files_for_reading_are_named(whole, trusted):
    files = {**whole, "evidence/000001-10-delil-10.txt": b"?", "evidence/000009-40-delil.txt": b"Teslim edildi"}
    (told,) = [each for each in judged(listed(files), trusted).tree.checks() if each.name == "unjudged"]
    assert (told.verdict, told.values["count"]) == ("not checked", 2)
    assert "unjudged" not in {each.name for each in judged(listed(whole), trusted).tree.checks()}


def test_helpers_agree_with_the_library():
    leaves = [hashlib.sha256(bytes([number])).digest() for number in range(5)]
    for index, leaf in enumerate(leaves):
        merkle.verify_inclusion(leaf, index, 5, audit_path(leaves, index), root(leaves))


def test_files_that_are_no_messages(whole, trusted):
    files = {**whole, "receipt/1.eml": b"Subject: x\r\n\r\n", "evidence/000009-10-x.xml": b"<x/>"}
    result = judged(listed(files), trusted)
    assert ("file", Sub.FORMAT_FAILURE) in bad(result)
    assert ("evidence-signature", Sub.FORMAT_FAILURE) in bad(result)


def test_no_evidence_at_all(trusted):
    result = judged(listed({"original/original.eml": ORIGINAL}), trusted)
    assert bad(result) == {("case-evidence", None)}


def test_courses_are_bounded(monkeypatch, whole, trusted):
    monkeypatch.setattr(course, "MOST_STEPS", 2)
    with pytest.raises(FormatError, match="recipients"):
        judged(listed(whole), trusted)


def test_from_a_zip_one_entry_broken(whole, trusted):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for path, octets in listed(whole).items():
            archive.writestr(path, octets)
    octets = made.getvalue()
    assert judged(CaseZip(io.BytesIO(octets)), trusted).tree.status == "good"
    spoilt = octets.replace(ORIGINAL, ORIGINAL.replace(b"Deneme", b"Denemz"), 1)
    result = judged(CaseZip(io.BytesIO(spoilt)), trusted)
    assert [each.told for each in result.tree.checks() if each.name == "manifest"] == ["manifest-unreadable"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_case_spoilt_anywhere_is_judged_or_refused(whole, trusted, data):
    """One file of it altered by a stranger, the list made to fit: every finding has its words, and nothing breaks."""
    path = data.draw(st.sampled_from(sorted(whole)))
    octets = whole[path]
    at, length = data.draw(st.integers(0, len(octets))), data.draw(st.integers(0, 40))
    piece = data.draw(
        st.one_of(st.binary(max_size=8), st.sampled_from([b'"', b"{", b"[[", b"null", b"1e999", b"\xff"]))
    )
    files = listed({**whole, path: octets[:at] + piece + octets[at + length :]})
    try:
        result = judged(files, trusted)
    except FormatError:
        return
    assert list(tree.draw(result.tree, ("tr", "en")))
    assert tree.as_json(result.tree)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), length=st.integers(0, 30), piece=st.binary(max_size=8))
def test_a_list_spoilt_anywhere_is_read_or_refused(whole, trusted, at, length, piece):
    files = listed(whole)
    octets = files["case.json"]
    place = int(at * len(octets))
    files["case.json"] = octets[:place] + piece + octets[place + length :]
    try:
        result = manifest.compare(manifest.read(files["case.json"]), files)
    except FormatError:
        return
    assert all(check.sentence("tr") and check.sentence("en") for check in result)
