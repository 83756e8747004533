"""What we write in the REM baseline beside what ETSI published: the same structure, but for a list with reasons.

For each published message the same thing is made by us, out of what its own evidence says: the same recipients, the
same one or several that it is about, the same reason.
"""

import hashlib
from functools import cache
from pathlib import Path

import pytest
import structure

from kepgw.evidence import reading
from kepgw.evidence.codes import DEVELOPMENT_POLICY, KepCode, kep_code
from kepgw.evidence.en319522_cardinality import check
from kepgw.evidence.model import Entity
from kepgw.interop.case import Case, Counterpart, Identity, Order
from kepgw.interop.profile import Profiles
from kepgw.interop.rem_baseline import RemBaseline
from kepgw.interop.stamps import Authority, Stamping
from kepgw.interop.workshop import Bench, Tools
from kepgw.message.envelope import open_envelope
from kepgw.message.headers import split
from kepgw.message.rendering import render
from kepgw.trust import devpki
from kepgw.trust.judge import judge_message
from kepgw.trust.paths import load_anchors
from kepgw.trust.processkeys import KeyPlace

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "etsi-rem-baseline"
NAMES = sorted(path.name for path in VECTORS.glob("S?_REM_*.eml"))
DOMAIN = "hs91.kep.tr"

pytestmark = pytest.mark.skipif(not NAMES, reason="the golden messages (../shared/vectors) are not beside the checkout")

# Lines that only one side has, each with its reason. Nothing else may differ, order included.
OURS = {
    "header References": "the receipts stand under the sent message in every client, ADR 20",
    "header Auto-Submitted": "RFC 3834 5: no vacation answer to a receipt",
    "mime.1.1.1 disposition inline": "EN 319 532-3 6: optional",
    # RFC 2045 6.4: what is around 8-bit octets says so; 7bit is the default and is said as well
    "header Content-Transfer-Encoding": "RFC 2045 6.4",
    "mime content-transfer-encoding 7bit": "RFC 2045 6.4",
    "mime.1 content-transfer-encoding 7bit": "RFC 2045 6.4",
    "mime.1.2 content-transfer-encoding 7bit": "RFC 2046 5.2.1 and SMTP without BINARYMIME, ADR 20",
    # a KEP iletisi is time-stamped by definition (Yönetmelik); EN 319 532-3 8: B-B should be raised to B-T
    "cms unsigned 1.2.840.113549.1.9.16.2.14": "signature time stamp of the dispatch, ADR 20",
}
OURS_IN_RECEIPTS = {"header In-Reply-To": "table C.26 allows it; the examples have it in the dispatch only"}
THEIRS = {
    "mime.1.2 content-transfer-encoding binary": "see 7bit above",
}
# the fourth recipient of scenarios 1 and 2 is outside the REM system: we send nothing there
UNTRUSTED = "/ext:UntrustedPathToRecipient x1 []"
C26 = "header REM-RelayDate"  # table C.26 has none in the receipt of a SubmissionAcceptance, the examples do


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("provider")
    devpki.create(folder, DOMAIN, f"kep@{DOMAIN}", algorithm="rsa-3072")
    keys = folder / "keys"
    identity = Identity(DOMAIN, "Sağlayıcı", f"kep@{DOMAIN}", (DEVELOPMENT_POLICY,), True)
    profile = RemBaseline(identity)
    bench = Bench(
        Tools(
            identity=identity,
            profiles=Profiles({profile.name: profile}),
            process_keys=(KeyPlace((keys / "process.pem", keys / "intermediate.pem"), keys / "process.key", ""),),
            stamping=Stamping(
                (Authority("development", "", 1.0),), tsa_key=keys / "tsa.key", tsa_certificates=(keys / "tsa.pem",)
            ),
        )
    )
    return Maker(bench, profile, load_anchors([keys / "root.pem"]))


class Maker:
    """Makes what a published message is, with our keys."""

    def __init__(self, bench, profile, anchors):
        self.bench, self.profile, self.anchors = bench, profile, anchors
        self.message = cache(self._message)

    def _message(self, name):
        octets = (VECTORS / name).read_bytes()
        said = reading.read(open_envelope(octets).evidence[0][1])
        original = (VECTORS / f"{name[:2].replace('S2', 'S1')}_original_message.eml").read_bytes()
        form = self.profile.form(original[: split(original)[0]], len(original), said.message.remmd_message_id)
        case = Case(
            remmd_id=said.message.remmd_message_id,
            evidence_id=said.identifier,
            sender=said.sender,
            recipients=tuple(Entity(each.address) for each in said.recipients),
            subject=said.message.subject,
            ua_message_id=said.message.ua_message_id,
            t0=said.submission_time,
            digest=hashlib.sha256(b"".join(form.chunks(original))).digest(),
            size=len(original),
            eight_bit=False,
            to=", ".join(each.address for each in said.recipients),
            cc="",
            tr_headers=(),
            authentication=said.sender_authentication,
            profile="rem-baseline",
            own_sender=any(word in name for word in ("Submission", "Dispatch", "Failure")),
            here=frozenset(number for number, each in enumerate(said.recipients, 1) if each.identity),
            counterpart=Counterpart("hs90.kep.tr", "Öteki", "kep@hs90.kep.tr"),
        )
        about = (said.refers_to,) if said.refers_to else said.refers_to_several
        order = Order(kep_code(said.element, said.event), said.identifier, said.event_time, about, said.reasons)
        if "Dispatch" not in name:
            return self.bench.make(case, order).receipt
        (issued, sealed) = self.bench.issue(case, order, render(original), original)
        assert issued.form.octets(original) == b"".join(form.chunks(original))
        return sealed.head + issued.form.octets(original) + sealed.tail


def without(found, tolerated):
    return [line for line in found if line not in tolerated and not line.endswith(UNTRUSTED)]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_structure(made, name):
    golden, ours = structure.lines((VECTORS / name).read_bytes()), structure.lines(made.message(name))
    dispatch = "Dispatch" in name
    extra = OURS if dispatch else OURS | OURS_IN_RECEIPTS
    if "SubmissionAcceptance" in name:
        assert C26 not in ours
        golden.remove(C26)
    assert without(golden, THEIRS) == without(ours, extra)


def test_every_tolerated_line_is_needed(made):
    pairs = [(structure.lines((VECTORS / name).read_bytes()), structure.lines(made.message(name))) for name in NAMES]
    for line in OURS | OURS_IN_RECEIPTS:
        assert any(line in ours and line not in golden for golden, ours in pairs), line
    for line in THEIRS:
        assert any(line in golden and line not in ours for golden, ours in pairs), line
    assert any(line.endswith(UNTRUSTED) for golden, _ in pairs for line in golden)


@pytest.mark.parametrize("name", NAMES)
def test_ours_says_the_same_and_holds(made, name):
    judgement = judge_message(made.message(name), made.anchors)
    expected = {"development", "evidence-time"}  # the events of the examples are years before our stamps
    bad = [each for _, each in judgement.every() if each.verdict in {"bad", "warning"} and each.name not in expected]
    assert not bad
    (judged,) = judgement.evidences
    golden = reading.read(open_envelope((VECTORS / name).read_bytes()).evidence[0][1])
    check(judged.evidence)
    for told in ("element", "event", "refers_to", "refers_to_several", "event_time", "submission_time", "version"):
        assert getattr(judged.evidence, told) == getattr(golden, told), told
    assert judged.evidence.message == golden.message  # the digest over the form as well: C.22
    assert [(each.reason, each.code) for each in judged.evidence.reasons] == [
        (each.reason, each.code) for each in golden.reasons
    ]
    assert [each.address for each in judged.evidence.recipients] == [each.address for each in golden.recipients]


def test_every_kind_was_compared():
    """The published kinds; of what KEP has, a reading (60, 61) and a delivery failure (41) were not published."""
    told = {
        kep_code(said.element, said.event)
        for said in (reading.read(open_envelope((VECTORS / name).read_bytes()).evidence[0][1]) for name in NAMES)
    }
    missing = {KepCode.OKUNDU, KepCode.OKUNMADI, KepCode.TESLIM_EDILEMEDI}
    assert told == set(KepCode) - missing


def test_a_difference_is_seen(made):
    """The comparison itself: one header, one attribute, one element less, and it says so."""
    name = NAMES[0]
    golden = structure.lines(made.message(name))
    octets = made.message(name).replace(b"REM-MD08", b"REM-MD09", 1)
    assert structure.lines(octets) != golden
    assert structure.lines(octets.replace(b"xml_evidence", b"xml_evidences", 1)) != golden
