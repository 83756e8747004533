"""``kepgw ledger``: signed tree heads, proofs, and the examination of every record."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, out_octets, plain, when

if TYPE_CHECKING:
    from kepgw.store.ledgercheck import Exported, Report

app = typer.Typer(no_args_is_help=True, help="The ledger of all evidence: head, prove, check, verify.")
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it there; - is standard output.")]
Trust = Annotated[
    list[Path] | None, typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file too.")
]


@app.command()
def head(
    directory: Folder,
    target: Out = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Sign and stamp the whole ledger now.")] = False,
) -> None:
    """Export the newest signed tree head: keep it on another machine."""
    found = ask(directory, "ledger_head", fresh=fresh)
    _write(target, found["head"])
    newer = f"; {found['newer']} newer, not signed yet" if found["newer"] else ""
    note(f"head over {found['size']} records, {when(found['time'])}{newer}")


@app.command()
def prove(
    directory: Folder,
    evidence: Annotated[
        str | None, typer.Option("--evidence", metavar="ID", help="Identifier or number of an evidence.")
    ] = None,
    old: Annotated[
        Path | None, typer.Option("--head", metavar="FILE", help="An older head: prove that the newest continues it.")
    ] = None,
    target: Out = None,
) -> None:
    """Prove that an evidence is in the ledger, or that the ledger continues an older head."""
    if (evidence is None) == (old is None):
        raise typer.BadParameter("give --evidence ID or --head FILE")
    if evidence is not None:
        found = ask(directory, "ledger_inclusion", evidence=evidence)
        said = f"evidence {found['seq']} is in the ledger"
    else:
        assert old is not None
        found = ask(directory, "ledger_consistency", old=_read(old).decode("utf-8", "replace"))
        said = f"the head of {found['to']} records continues that of {found['from']}"
    _write(target, found["proof"])
    note(said)


@app.command()
def check(
    proof: Annotated[Path, typer.Argument(metavar="FILE", help="A proof or a head.", show_default=False)],
    trust: Annotated[list[Path], typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file.")],
    service_address: Annotated[str, typer.Option("--signer", metavar="ADDRESS", help="Who must have signed.")] = "",
    evidence: Annotated[
        Path | None, typer.Option("--evidence", metavar="XML", help="The evidence that the proof is about.")
    ] = None,
) -> None:
    """Judge an exported proof or head, without the ledger. Exit status: 0 it holds, 1 not, 2 unreadable."""
    from kepgw.errors import FormatError
    from kepgw.evidence import ledger as documents

    octets = _read(proof)
    about: documents.Inclusion | documents.Consistency | None = None
    try:
        about = documents.read_proof(octets)
        heads = [about.head] if isinstance(about, documents.Inclusion) else [about.old, about.new]
    except FormatError:
        heads = [documents.read_head(octets)]
    anchors = _anchors(trust)
    for each in heads:
        _judge_alone(each, service_address, anchors)
    if about is not None:
        about.check()
    if isinstance(about, documents.Inclusion):
        out(_described(about, None if evidence is None else _read(evidence)))
    elif about is not None:
        out("ok           the newer head continues the older one\n")


@app.command()
def verify(
    directory: Folder,
    heads: Annotated[
        list[Path] | None, typer.Option("--head", metavar="FILE", help="A head that was exported before; repeatable.")
    ] = None,
    trust: Trust = None,
    as_json: Json = False,
) -> None:
    """Examine every record, node and head. Exit status: 0 all holds, 1 something was changed, 2 unusable."""
    from kepgw.app.config import load
    from kepgw.errors import ConfigurationError
    from kepgw.store.engine import Reader
    from kepgw.store.ledgercheck import examine
    from kepgw.trust.heads import verify_head

    config = load(directory)
    exported = [_exported(path) for path in heads or ()]
    anchors = _anchors([*config.trust.anchors, *(trust or ())])
    between = _anchors(config.keys.process_certificates)
    who = config.provider
    if not config.store_path.is_file():
        raise ConfigurationError(f"there is no store at {config.store_path}; correct store.url or restore a backup")
    reader = Reader(config.store_path)
    try:
        report = examine(
            reader,
            lambda each: verify_head(each, who.domain, who.service_address, anchors, between),
            exported,
            _progress if sys.stderr.isatty() else lambda done, size: None,
        )
    finally:
        reader.close()
    if as_json:
        out_json(_data(report))
    else:
        out("".join(_lines(report)))
    raise typer.Exit(0 if report.good else 1)


def _judge_alone(head: Any, service_address: str, anchors: tuple[bytes, ...]) -> None:
    from kepgw.errors import ConfigurationError
    from kepgw.trust.heads import verify_head
    from kepgw.trust.keys import describe

    said = head.read()
    judged = verify_head(head, said.domain, service_address, anchors)
    try:
        signer = ", ".join(describe(judged.signer, judged.stamp.time).addresses)
    except ConfigurationError:
        signer = ""
    out(
        f"ok           head of the ledger of {plain(said.domain)}: {said.size} records, signed by {plain(signer)},"
        f" stamped {judged.stamp.time:%Y-%m-%d %H:%M:%SZ}\n"
    )
    for policy in said.policies:
        if "development" in policy:
            out("warning      DEVELOPMENT: no legal effect\n")


def _described(proof: Any, xml: bytes | None) -> str:
    import hashlib
    import json

    from kepgw.errors import FormatError, SignatureInvalid

    try:
        record = json.loads(proof.record)
        if record.get("kind") == "deletion":
            line = f"record {record['seq']}: message {record['message']} deleted by {record['by']} on {record['time']}"
            line += f", {len(record['documents'])} documents: {record['reason']}"
            digests = {each["digest"] for each in record["documents"]}
        else:
            line = f"record {record['seq']}: evidence {record['code']} {record['id']} of {record['event_time']}"
            digests = {record["digest"]}
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"the record of the proof is unreadable: {error}") from error
    if xml is not None and hashlib.sha256(xml).hexdigest() not in digests:
        raise SignatureInvalid("the evidence is not the one that the proof is about", "inclusion")
    beside = "" if xml is None else "ok           the evidence has the digest of the record\n"
    return f"ok           {plain(line, 400)}\n{beside}"


def _lines(report: "Report") -> Iterable[str]:
    yield f"{'ok' if report.good else 'examined':<12} {report.size} records, root {report.root.hex()}\n"
    if report.deleted:
        yield f"ok           {report.deleted} evidence deleted by the recorded procedure\n"
    if report.time is not None:
        yield f"ok           head over {report.signed} records, stamped {report.time:%Y-%m-%d %H:%M:%SZ}\n"
    if report.size > report.signed:
        yield f"warning      {report.size - report.signed} records are newer than every head that holds\n"
    for kind, _, text in report.findings:
        yield f"BAD          {kind}: {plain(text, 400)}\n"
    if report.count > len(report.findings):
        yield f"BAD          and {report.count - len(report.findings)} more\n"


def _data(report: "Report") -> dict[str, Any]:
    return {
        "good": report.good,
        "records": report.size,
        "deleted": report.deleted,
        "root": report.root.hex(),
        "heads": report.heads,
        "signed": report.signed,
        "signed_time": None if report.time is None else report.time.isoformat(),
        "count": report.count,
        "findings": [each._asdict() for each in report.findings],
    }


def _progress(done: int, size: int) -> None:
    if done == size or done % 10_000 == 0:
        sys.stderr.write(f"\r{done} of {size}" + ("\n" if done == size else ""))


def _exported(path: Path) -> "Exported":
    from kepgw.errors import FormatError
    from kepgw.evidence.ledger import read_head
    from kepgw.store.ledgercheck import Exported

    try:
        found = read_head(_read(path))
        found.read()
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    return Exported(path.name, found)


def _anchors(paths: Iterable[Path]) -> tuple[bytes, ...]:
    from kepgw.trust.paths import load_anchors

    return load_anchors(paths)


def _read(path: Path) -> bytes:
    from kepgw.errors import ConfigurationError
    from kepgw.evidence.ledger import LARGEST

    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path} ({error.strerror})") from error


def _write(target: Path | None, text: str) -> None:
    from kepgw.errors import ConfigurationError

    octets = text.encode("utf-8")
    if target is None or str(target) == "-":
        out_octets(octets)
        return
    try:
        target.write_bytes(octets)
    except OSError as error:
        raise ConfigurationError(f"cannot write {target} ({error.strerror})") from error
