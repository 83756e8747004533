"""The judgement of a whole case: every file of it, what the files prove together, and what is missing.

Certificates and revocation lists in the case are used, for a court may have no network; whom to trust is the reader's
to say. A file that is not what the manifest says is bad, and is judged all the same for what it is.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from kepgw.errors import FormatError, SignatureInvalid, Sub
from kepgw.evidence import evidencerecord, ledger
from kepgw.evidence.ledger import Head
from kepgw.trust import manifest, tokens
from kepgw.trust.archivestamps import StampJudge
from kepgw.trust.course import Course, Courses, branches
from kepgw.trust.digests import Octets
from kepgw.trust.heads import judge_head
from kepgw.trust.judge import judge_evidence, judge_message
from kepgw.trust.judgement import Check, JudgedEvidence, Value
from kepgw.trust.manifest import Manifest
from kepgw.trust.material import readable
from kepgw.trust.sendercheck import sender_checks
from kepgw.trust.tree import Branch, Node, evidence_json, of_evidence, of_message, signature_branch
from kepgw.trust.trusted import Trusted

MOST_CERTIFICATES: Final = 64  # of the case that may stand in a path
MOST_LISTS: Final = 256  # of the case that may tell of revocation
MOST_TRIED: Final = 2000  # pairs of archive record and file that are held against each other
MOST_NAMED: Final = 8  # files that nothing proves, by name
_JUDGED: Final = frozenset(
    {"original", "dispatch", "receipt", "evidence", "proof", "head", "record", "certificate", "crl", "ocsp"}
)
_SEQ: Final = re.compile(r"0*(\d{1,15})(?:[-.]|$)")


@dataclass(frozen=True)
class CaseJudgement:
    """A case: the tree of everything, the course of each recipient, and each evidence in a few words."""

    tree: Branch
    courses: tuple[Course, ...]
    evidence: tuple[dict[str, Any], ...]
    provider: str = ""
    exported: str = ""


@dataclass
class _Case:
    """A case while it is judged."""

    files: Mapping[str, bytes]
    manifest: Manifest
    trusted: Trusted
    at: datetime | None
    original: bytes | None = None
    courses: Courses = field(default_factory=Courses)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    heads: dict[Head, Branch] = field(default_factory=dict)
    digests: set[tuple[str, bytes]] = field(default_factory=set)
    vouched: bool = False  # an evidence names the digest of the original
    hashed: dict[tuple[str, str], bytes] = field(default_factory=dict)
    tried: int = 0

    def octets(self, path: str) -> bytes | None:
        """The octets of a file that is there and can be read; the manifest's check tells of others."""
        try:
            return self.files.get(path)
        except FormatError:
            return None

    def others(self) -> Iterator[str]:
        """The files that an archive record may cover beside its evidence, as long as looking costs little."""
        for each in self.manifest.files:
            if each.kind in ("original", "dispatch", "receipt") and self.tried < MOST_TRIED:
                self.tried += 1
                yield each.path

    def digest(self, path: str, algorithm: str) -> bytes:
        """The digest of a file, taken once."""
        key = (path, algorithm)
        if key not in self.hashed:
            self.hashed[key] = hashlib.new(algorithm, self.octets(path) or b"").digest()
        return self.hashed[key]


def judge_case(
    files: Mapping[str, bytes], trusted: Trusted, at: datetime | None = None, name: str = "case.zip"
) -> CaseJudgement:
    """Judge a case whose files are given by path, such as ``kepgw.trust.casezip.CaseZip``.

    Files are read one at a time, and again where they are needed again. Raises FormatError when there is no manifest
    that can be read.
    """
    if manifest.NAME not in files:
        raise FormatError(f"a zip without {manifest.NAME} is no case")
    listed = manifest.read(files[manifest.NAME])
    checks = tuple(manifest.compare(listed, files))
    case = _Case(files, listed, _with_bundle(listed, files, trusted), at)
    found = [*_original(case), *_messages(case, "dispatch"), *_messages(case, "receipt"), *_evidences(case)]
    found += [*_consistent(case), *case.heads.values(), *_unjudged(listed)]
    courses = tuple(case.courses.told())
    nodes: list[Node] = [*branches(courses), Branch("manifest", manifest.NAME, checks), *found]
    if not case.evidence:
        nodes.append(Check("case-evidence", "bad", "the case holds no evidence that can be read"))
    tree = Branch("case", name, tuple(nodes))
    return CaseJudgement(tree, courses, tuple(case.evidence), listed.provider, listed.exported)


def _with_bundle(listed: Manifest, files: Mapping[str, bytes], trusted: Trusted) -> Trusted:
    """What is trusted, with the certificates and lists of the case beside it; none of them is an anchor."""
    between, lists = list(trusted.intermediates), list(trusted.materials)
    for each in listed.files:
        wanted = len(between) < MOST_CERTIFICATES if each.kind == "certificate" else len(lists) < MOST_LISTS
        if each.kind not in ("certificate", "crl", "ocsp") or each.path not in files or not wanted:
            continue
        try:
            octets = files[each.path]
        except FormatError:
            continue
        if each.kind == "certificate":
            between.append(octets)
        elif (said := readable(octets)) is not None:
            lists.append(said)
    return replace(trusted, intermediates=tuple(between), materials=tuple(dict.fromkeys(lists)))


def _original(case: _Case) -> Iterator[Node]:
    paths = list(case.manifest.of("original"))
    if len(paths) == 1:
        case.original = case.octets(paths[0])
    if len(paths) > 1:
        yield Check("original", "bad", f"{len(paths)} original messages", Sub.FORMAT_FAILURE)
    elif case.original is None:
        yield Check("original", "warning", "the original message is not in the case", Sub.SIGNED_DATA_NOT_FOUND)
    else:
        digest = hashlib.sha256(case.original).hexdigest()
        values: dict[str, Value] = {"size": len(case.original), "digest": digest, "file": paths[0]}
        yield Check("original", "ok", digest, values=values)


def _messages(case: _Case, kind: str) -> Iterator[Node]:
    for path in case.manifest.of(kind):
        octets = case.octets(path)
        if octets is None:
            continue
        try:
            judged = judge_message(octets, **_given(case, case.original))
        except FormatError as error:
            yield Branch("unread-file", path, (Check("file", "bad", str(error), error.sub),))
            continue
        yield of_message(judged, path, *sender_checks(octets, judged.envelope.original, case.trusted, judged.time))
        for each in judged.evidences:
            _count(case, each, path)


def _evidences(case: _Case) -> Iterator[Node]:
    proofs, records = _by_number(case, "proof"), _by_number(case, "record")
    for path in case.manifest.of("evidence"):
        octets = case.octets(path)
        if octets is None:
            continue
        number = _number(path)
        judged = judge_evidence(octets, name=path, **_given(case, case.original))
        more: list[Node] = []
        for proof in proofs.pop(number, []):
            more += _inclusion(case, proof, octets)
        for record in records.pop(number, []):
            more.append(_archived(case, record, octets))
        yield of_evidence(judged, path, *more)
        _count(case, judged, path)
    for path in (each for left in (*proofs.values(), *records.values()) for each in left):
        why = f"{path} is about no evidence of the case"
        yield Check("unmatched", "warning", why, Sub.SIGNED_DATA_NOT_FOUND, "", {"file": path})
    for path in case.manifest.of("head"):
        octets = case.octets(path) if path.endswith(".json") else None
        if octets is None:
            continue
        try:
            _judged_head(case, ledger.read_head(octets))
        except FormatError as error:
            yield Branch("unread-file", path, (Check("file", "bad", str(error), error.sub),))


def _given(case: _Case, original: Octets | None) -> dict[str, Any]:
    trusted = case.trusted
    return {
        "anchors": trusted.anchors,
        "at": case.at,
        "original": original,
        "intermediates": trusted.intermediates,
        "stamp_anchors": trusted.stamp_anchors,
        "materials": trusted.materials,
        "listings": trusted.listings,
        "owners": trusted.owners,
    }


def _count(case: _Case, judged: JudgedEvidence, path: str) -> None:
    """Take what an evidence says into the course of the message, if its signature holds."""
    if judged.evidence is None or judged.signature is None or not judged.good:
        return
    said = judged.evidence.message
    if said is not None and said.digest and not said.is_notification:
        case.digests.add((said.digest_algorithm, said.digest))
    case.vouched |= any(check.name == "digest" and check.verdict == "ok" for check in judged.checks)
    case.courses.add(judged.evidence, judged.signature.signer, path, trusted=of_evidence(judged).status == "good")
    shown = evidence_json(path, judged.evidence)
    if all(shown["identifier"] != each["identifier"] or shown["issuer"] != each["issuer"] for each in case.evidence):
        case.evidence.append(shown)


def _unjudged(listed: Manifest) -> Iterator[Check]:
    """What is in the case for reading only: whoever made the zip may have written anything there."""
    paths = [each.path for each in listed.files if each.kind not in _JUDGED]
    if paths:
        told = ", ".join(paths[:MOST_NAMED]) + (", ..." if len(paths) > MOST_NAMED else "")
        yield Check("unjudged", "not checked", told, values={"count": len(paths), "files": told})


def _consistent(case: _Case) -> Iterator[Check]:
    """The evidence speaks of the original; without that at hand, at least of one message."""
    if case.original is not None and case.evidence and not case.vouched:
        yield Check("original", "warning", "no evidence has its digest", None, "unvouched")
    if case.original is None and len({algorithm for algorithm, _ in case.digests}) < len(case.digests):
        yield Check("one-message", "bad", "the evidence speaks of several messages", Sub.HASH_FAILURE)


# -- the ledger ----------------------------------------------------------------------------------------------------


def _inclusion(case: _Case, path: str, xml: bytes) -> Iterator[Check]:
    """The proof that an evidence is a record under a tree head; the head is judged once, elsewhere in the tree."""
    name = "inclusion"
    values: dict[str, Value] = {"file": path}
    try:
        proof = ledger.read_proof(case.octets(path) or b"")
        if not isinstance(proof, ledger.Inclusion):
            raise FormatError("a proof of another kind")
        proof.check()
        said = json.loads(proof.record)
        if said["digest"] != hashlib.sha256(xml).hexdigest():
            raise SignatureInvalid("the proof is about another evidence", name, Sub.HASH_FAILURE)
        head = proof.head.read()
        values |= {"seq": int(said["seq"]), "records": head.size, "domain": head.domain}
        _judged_head(case, proof.head)
    except (FormatError, SignatureInvalid) as error:
        yield Check(name, "bad", str(error), error.sub, "", values)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        yield Check(name, "bad", f"the record is unreadable: {error}", Sub.FORMAT_FAILURE, "", values)
    else:
        yield Check(name, "ok", f"record {values['seq']} of {head.size}", values=values)


def _judged_head(case: _Case, head: Head) -> None:
    if head not in case.heads:
        checks, _ = judge_head(head, case.trusted, case.at)
        case.heads[head] = replace(signature_branch("head", checks), name=head.read().domain)


# -- evidence records ----------------------------------------------------------------------------------------------


def _archived(case: _Case, path: str, xml: bytes) -> Check:
    """An RFC 4998 record over an evidence, and what else of the case it covers (RFC 4998 5.3)."""
    name: Final = "record"
    values: dict[str, Value] = {"file": path}
    octets = case.octets(path) or b""
    anchors, moment = case.trusted.anchors, case.at or datetime.now(UTC)
    if case.trusted.stamp_anchors is not None:
        anchors = case.trusted.stamp_anchors
    judge = StampJudge(anchors, moment, case.trusted.intermediates)
    unproved: evidencerecord.Judge = lambda token, digest: tokens.check_token(token, digest).time  # noqa: E731
    try:
        used = judge.begin() if anchors else unproved
        proved = evidencerecord.verify(octets, [xml], used, complete=False)
        judge.finish()
        covered = sum(_covers(case, octets, judge.begin() if anchors else unproved, each) for each in case.others())
    except (FormatError, SignatureInvalid) as error:
        return Check(name, "bad", str(error), error.sub, "", values)
    values |= {"time": proved.time, "count": sum(map(len, proved.stamps)), "covered": covered}
    if not anchors:
        why = "no trusted certificates were given"
        return Check(name, "not checked", why, Sub.NO_CERTIFICATE_CHAIN_FOUND, "untrusted", values)
    return Check(name, "ok", f"stamped {proved.time:%Y-%m-%d %H:%M}Z", None, "group" if covered else "", values)


def _covers(case: _Case, record: bytes, judge: evidencerecord.Judge, path: str) -> bool:
    def digests(algorithm: str) -> list[bytes]:
        return [case.digest(path, algorithm)]

    try:
        evidencerecord.verify_digests(record, digests, judge, complete=False)
    except (FormatError, SignatureInvalid):
        return False
    return True


def _by_number(case: _Case, kind: str) -> dict[int | None, list[str]]:
    found: dict[int | None, list[str]] = {}
    for path in case.manifest.of(kind):
        found.setdefault(_number(path), []).append(path)
    return found


def _number(path: str) -> int | None:
    """The number of the ledger record in a file's name: ``evidence/000012-10-x.xml``, ``ledger/proof-12.json``."""
    matched = _SEQ.match(path.rpartition("/")[2].removeprefix("proof-"))
    return None if matched is None else int(matched[1])
