"""The ledger's documents: the record of an evidence, the tree head, and the files that carry heads and proofs.

Records and statements are JSON in canonical form (RFC 8785), so that anybody can make the same octets again. A record
is hashed into a leaf of the tree (kepgw.evidence.merkle); a statement names size and root of the tree and is signed
and time-stamped. The format of a record is fixed for ever: what is hashed once is never written otherwise.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from kepgw.errors import FormatError
from kepgw.evidence import merkle

HEAD: Final = "kepgw-tree-head/1"
INCLUSION: Final = "kepgw-inclusion-proof/1"
CONSISTENCY: Final = "kepgw-consistency-proof/1"
LARGEST: Final = 1 << 20  # octets of a head or proof file; a signature with chain and token is a few KB
LARGEST_DELETION: Final = 16 << 20  # octets of the record of a deletion: 150 a document

_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger says of one evidence. ``seq`` counts from 1; the leaf's index in the tree is ``seq - 1``.

    ``digest`` is the SHA-256 of the signed XML; ``month`` and ``message`` are the key of the message it speaks of;
    ``dispatch`` and ``ordinal`` name transaction and recipient where there is one; ``own``: we issued it ourselves.
    """

    seq: int
    identifier: str
    digest: bytes
    code: int
    issuer: str
    own: bool
    event_time: datetime
    month: int
    message: int
    dispatch: int | None
    ordinal: int | None
    reason: str

    def octets(self) -> bytes:
        """The canonical octets that are hashed. Numbers over 53 bits travel as strings (RFC 8785 3.2.2.3)."""
        return canonical(
            {
                "code": self.code,
                "digest": self.digest.hex(),
                "dispatch": None if self.dispatch is None else str(self.dispatch),
                "event_time": self.event_time.astimezone(UTC).strftime(_TIME),
                "id": self.identifier,
                "issuer": self.issuer,
                "message": str(self.message),
                "month": self.month,
                "ordinal": self.ordinal,
                "own": self.own,
                "reason": self.reason,
                "seq": self.seq,
                "v": 1,
            }
        )

    def leaf(self) -> bytes:
        """The hash of its leaf."""
        return merkle.leaf_hash(self.octets())


class Deleted(NamedTuple):
    """A document that a deletion took away. ``kind`` is evidence, receipt, dispatch or original; ``seq`` that of its
    evidence, 0 where none stands for it alone; ``digest`` the SHA-256 of its octets, ``size`` how many they were.
    """

    kind: str
    seq: int
    digest: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """What the ledger says of the deletion of a message: by whom, when, why, and what exactly went.

    ``by`` is the name that was given, ``actor`` the system user who gave the command.
    """

    seq: int
    time: datetime
    by: str
    actor: str
    reason: str
    month: int
    message: int
    documents: tuple[Deleted, ...]

    def octets(self) -> bytes:
        """The canonical octets that are hashed."""
        return canonical(
            {
                "actor": self.actor,
                "by": self.by,
                "documents": [
                    {"digest": each.digest.hex(), "kind": each.kind, "seq": each.seq, "size": each.size}
                    for each in self.documents
                ],
                "kind": "deletion",
                "message": str(self.message),
                "month": self.month,
                "reason": self.reason,
                "seq": self.seq,
                "time": self.time.astimezone(UTC).strftime(_TIME),
                "v": 1,
            }
        )

    def leaf(self) -> bytes:
        """The hash of its leaf."""
        return merkle.leaf_hash(self.octets())


def read_deletion(octets: bytes) -> Deletion:
    """Read the record of a deletion; only the canonical form passes. Raises FormatError."""
    data = _object(octets, "record of a deletion", LARGEST_DELETION)
    try:
        if data["v"] != 1 or data["kind"] != "deletion":
            raise FormatError("not the record of a deletion")
        deletion = Deletion(
            int(data["seq"]),
            datetime.strptime(data["time"], _TIME).replace(tzinfo=UTC),
            str(data["by"]),
            str(data["actor"]),
            str(data["reason"]),
            int(data["month"]),
            int(data["message"]),
            tuple(
                Deleted(str(each["kind"]), int(each["seq"]), bytes.fromhex(each["digest"]), int(each["size"]))
                for each in data["documents"]
            ),
        )
        whole = deletion.octets() == octets
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"not the record of a deletion: {error}") from error
    if not whole:
        raise FormatError("not the record of a deletion: not in the canonical form")
    return deletion


@dataclass(frozen=True, slots=True)
class Statement:
    """What a tree head says: at ``time`` the ledger of ``domain`` held ``size`` records under ``root``."""

    domain: str
    size: int
    root: bytes
    time: datetime
    policies: tuple[str, ...] = ()

    def octets(self) -> bytes:
        """The canonical octets that are signed."""
        return canonical(
            {
                "ledger": self.domain,
                "policies": list(self.policies),
                "root": self.root.hex(),
                "size": self.size,
                "time": self.time.astimezone(UTC).strftime(_TIME),
                "v": 1,
            }
        )


@dataclass(frozen=True, slots=True)
class Head:
    """A signed tree head: the statement's octets, a detached CMS signature over them (DER), and an RFC 3161 token
    (DER) over the SHA-256 of that signature's octets.
    """

    statement: bytes
    signature: bytes
    token: bytes

    def read(self) -> Statement:
        """What it says, nothing of it verified. Raises FormatError."""
        return read_statement(self.statement)


def canonical(data: Mapping[str, Any]) -> bytes:
    """JSON as RFC 8785 writes it, for objects of strings, integers below 2**53, truth values and lists."""
    try:
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    except (UnicodeEncodeError, TypeError) as error:
        raise FormatError(f"not what a record or statement holds: {error}") from error


def read_statement(octets: bytes) -> Statement:
    """Read a statement; only the canonical form passes, so that there is one reading of it. Raises FormatError."""
    data = _object(octets, "tree head statement")
    try:
        if data["v"] != 1:
            raise FormatError("a tree head of an unknown version")
        statement = Statement(
            str(data["ledger"]),
            int(data["size"]),
            bytes.fromhex(data["root"]),
            datetime.strptime(data["time"], _TIME).replace(tzinfo=UTC),
            tuple(str(each) for each in data["policies"]),
        )
        whole = statement.octets() == octets
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"not a tree head statement: {error}") from error
    if not whole or len(statement.root) != merkle.HASH_SIZE or statement.size < 0:
        raise FormatError("not a tree head statement: not in the canonical form")
    return statement


def write_head(head: Head) -> bytes:
    """The file of a head: JSON with the statement as text, signature and token as base64."""
    return _file(_head_data(head))


def read_head(octets: bytes) -> Head:
    """Read the file of a head. Raises FormatError."""
    return _head(_object(octets, "tree head file"))


def write_inclusion(record: bytes, index: int, path: Sequence[bytes], head: Head) -> bytes:
    """The file that proves a record to be leaf ``index`` of the tree that ``head`` signs."""
    return _file(
        {
            "format": INCLUSION,
            "record": record.decode("utf-8"),
            "index": index,
            "path": [each.hex() for each in path],
            "head": _head_data(head),
        }
    )


def write_consistency(old: Head, new: Head, path: Sequence[bytes]) -> bytes:
    """The file that proves the tree of ``new`` to continue that of ``old``."""
    return _file(
        {
            "format": CONSISTENCY,
            "path": [each.hex() for each in path],
            "old": _head_data(old),
            "new": _head_data(new),
        }
    )


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A proof as read from its file; ``check`` holds it against its head, whose signature is another matter."""

    record: bytes
    index: int
    path: tuple[bytes, ...]
    head: Head

    def check(self) -> None:
        """Raise SignatureInvalid unless the record is in the head's tree, FormatError for an unreadable head."""
        said = self.head.read()
        merkle.verify_inclusion(merkle.leaf_hash(self.record), self.index, said.size, self.path, said.root)


@dataclass(frozen=True, slots=True)
class Consistency:
    """A proof between two heads as read from its file."""

    old: Head
    new: Head
    path: tuple[bytes, ...]

    def check(self) -> None:
        """Raise SignatureInvalid unless the new tree continues the old one, FormatError for an unreadable head."""
        old, new = self.old.read(), self.new.read()
        merkle.verify_consistency(old.size, new.size, old.root, new.root, self.path)


def read_proof(octets: bytes) -> Inclusion | Consistency:
    """Read the file of a proof. Raises FormatError."""
    data = _object(octets, "proof file")
    try:
        path = tuple(bytes.fromhex(each) for each in data["path"])
        if len(path) > merkle.LONGEST_PROOF or any(len(each) != merkle.HASH_SIZE for each in path):
            raise FormatError("a proof with hashes of another size")
        if data["format"] == INCLUSION:
            return Inclusion(data["record"].encode("utf-8"), int(data["index"]), path, _head(data["head"]))
        if data["format"] == CONSISTENCY:
            return Consistency(_head(data["old"]), _head(data["new"]), path)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"not a proof file of kepgw: {error}") from error
    raise FormatError("not a proof file of kepgw")


def _head_data(head: Head) -> dict[str, Any]:
    return {
        "format": HEAD,
        "statement": head.statement.decode("utf-8"),
        "signature": base64.b64encode(head.signature).decode("ascii"),
        "token": base64.b64encode(head.token).decode("ascii"),
    }


def _head(data: Any) -> Head:
    try:
        if data["format"] != HEAD:
            raise FormatError("not a tree head file of kepgw")
        return Head(
            data["statement"].encode("utf-8"),
            base64.b64decode(data["signature"], validate=True),
            base64.b64decode(data["token"], validate=True),
        )
    except (KeyError, TypeError, AttributeError, UnicodeEncodeError, binascii.Error, ValueError) as error:
        raise FormatError(f"not a tree head file of kepgw: {error}") from error


def _file(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"


def _object(octets: bytes, name: str, largest: int = LARGEST) -> dict[str, Any]:
    if len(octets) > largest:
        raise FormatError(f"a {name} of {len(octets)} octets")
    try:
        data = json.loads(octets)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not a {name}: {error}") from error
    if not isinstance(data, dict):
        raise FormatError(f"not a {name}")
    return data
