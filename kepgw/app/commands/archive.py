"""``kepgw archive``: evidence records for decades, legal hold, and deletion by a recorded procedure."""

import base64
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, out_octets, plain, table, when

if TYPE_CHECKING:
    from datetime import datetime

    from kepgw.store.archivecheck import Report

app = typer.Typer(no_args_is_help=True, help="The archive: stamp, renew, verify, record, hold, delete.")
Message = Annotated[
    str, typer.Option("--message", metavar="ID", help="Number, KEP identifier or Message-ID.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.", show_default=False)]
By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decided; it is recorded.", show_default=False)]


@app.command()
def status(directory: Folder, as_json: Json = False) -> None:
    """Show what is under archive time stamps, until when they hold, and where tree heads are sent."""
    found = ask(directory, "archive_status")
    if as_json:
        out_json(found)
        return
    out(f"{found['groups']} records in {found['volumes']} volumes, up to ledger record {found['newest_seq']}\n")
    out(f"{found['waiting']} ledger records wait for the next archive time stamp\n")
    if found["protected_until"]:
        out(f"the first time stamp must be renewed before {when(found['protected_until'])}\n")
    if found["sinks"]:
        rows = [(each["name"], each["size"], when(each["changed"]), each["error"]) for each in found["sinks"]]
        out(table(("TREE HEADS TO", "NEWEST", "AT", "ERROR"), rows))


@app.command()
def now(directory: Folder) -> None:
    """Put everything new under an archive time stamp now, not by the schedule."""
    done = _steps(directory, "archive_now")
    note(f"{done['groups']} records archived under {done['stamps']} time stamps")
    _tell_problems(done)


@app.command()
def renew(
    directory: Folder,
    algorithm: Annotated[
        str,
        typer.Option("--hash", metavar="NAME", help="Hash-tree renewal with sha256, sha384 or sha512: reads it all."),
    ] = "",
) -> None:
    """Renew the time stamps, or with --hash the hash trees, of the whole archive. Goes on where it was interrupted."""
    done = _steps(directory, "archive_renew", algorithm=algorithm)
    if algorithm:
        note(f"{done['groups']} records hashed anew with {algorithm} under {done['stamps']} time stamps")
    else:
        note(f"{done['groups']} time stamps renewed by {done['stamps']}")
    _tell_problems(done)


@app.command()
def record(
    directory: Folder,
    evidence: Annotated[str, typer.Argument(metavar="ID", help="Identifier or number of an evidence.")],
    target: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there; - is standard output.")
    ] = None,
) -> None:
    """Export the evidence record (RFC 4998, DER) of an evidence and of what came with it."""
    octets = base64.b64decode(ask(directory, "archive_record", evidence=evidence)["record"])
    if target is None or str(target) == "-":
        out_octets(octets)
    else:
        target.write_bytes(octets)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="RECORD", help="An evidence record (.ers).", show_default=False)],
    documents: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="The files that it is about.", show_default=False)
    ],
    trust: Annotated[list[Path], typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file.")],
) -> None:
    """Judge an exported record over files, without the archive. Exit status: 0 it holds, 1 not, 2 unreadable."""
    from datetime import UTC, datetime

    from kepgw.errors import SignatureInvalid
    from kepgw.evidence import ers_der
    from kepgw.evidence.evidencerecord import verify_digests
    from kepgw.trust.archivestamps import StampJudge
    from kepgw.trust.paths import load_anchors

    with file.open("rb") as opened:
        octets = opened.read(ers_der.LARGEST + 1)
    ers_der.read(octets)
    judge = StampJudge(load_anchors(trust), datetime.now(UTC))
    good = True
    for each in documents:
        try:
            proved = verify_digests(octets, lambda name, path=each: [_digest(path, name)], judge.begin())  # type: ignore[misc]
        except SignatureInvalid as error:
            good = False
            out(f"BAD          {plain(str(each))}: {plain(str(error), 400)}\n")
            continue
        count = sum(len(chain) for chain in proved.stamps)
        out(f"ok           {plain(str(each))}: existed on {proved.time:%Y-%m-%d %H:%M:%SZ}, {count} stamps hold\n")
        try:
            judge.finish()
        except SignatureInvalid as error:
            out(f"warning      {plain(str(error), 400)}\n")
    raise typer.Exit(0 if good else 1)


@app.command()
def verify(
    directory: Folder,
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file too.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read every document and hold it against every chain and stamp. Exit status: 0 all holds, 1 not, 2 unusable."""
    from datetime import UTC, datetime

    from kepgw.app.config import load
    from kepgw.errors import ConfigurationError
    from kepgw.store.archivecheck import examine
    from kepgw.store.engine import Reader
    from kepgw.trust.archivestamps import StampJudge
    from kepgw.trust.paths import load_anchors

    config = load(directory)
    anchors = load_anchors([*config.trust.anchors, *(trust or ())])
    if not config.store_path.is_file():
        raise ConfigurationError(f"there is no store at {config.store_path}; correct store.url or restore a backup")
    reader = Reader(config.store_path)
    try:
        report = examine(
            reader, StampJudge(anchors, datetime.now(UTC)), _progress if sys.stderr.isatty() else lambda *_: None
        )
    finally:
        reader.close()
    if as_json:
        out_json(_data(report))
    else:
        out("".join(_lines(report)))
    raise typer.Exit(0 if report.good else 1)


@app.command()
def hold(directory: Folder, message: Message, reason: Reason, by: By) -> None:
    """Hold a message back from every deletion, until it is released."""
    found = ask(directory, "archive_hold", message=message, reason=reason, by=by)
    note(f"message {found['message']} is on hold, number {found['hold']}")


@app.command()
def release(directory: Folder, message: Message, reason: Reason, by: By) -> None:
    """Release all holds on a message."""
    found = ask(directory, "archive_release", message=message, reason=reason, by=by)
    note(f"{found['released']} holds on message {found['message']} released")


@app.command()
def holds(
    directory: Folder,
    released: Annotated[bool, typer.Option("--all", help="Also those that were released.")] = False,
    as_json: Json = False,
) -> None:
    """List the holds."""
    found = ask(directory, "archive_holds", released=released)
    if as_json:
        out_json(found)
        return
    rows = [
        (
            each["hold"],
            each["message"],
            when(each["placed"]),
            each["placed_by"],
            each["reason"],
            f"{when(each['released'])} {each['released_by']}: {each['release_reason']}" if each["released"] else "",
        )
        for each in found
    ]
    out(table(("HOLD", "MESSAGE", "PLACED", "BY", "REASON", "RELEASED"), rows))


@app.command()
def delete(
    directory: Folder,
    before: Annotated[
        str,
        typer.Option("--before", metavar="DATE", help="Only messages whose last event is before it, YYYY-MM-DD."),
    ],
    reason: Reason,
    by: By,
    execute: Annotated[bool, typer.Option("--execute", help="Delete. Without it nothing is changed.")] = False,
) -> None:
    """List what could be deleted and what stays, and with --execute delete it: contents go, the proof of it stays."""
    limit = _date(before)
    if not execute:
        _list_candidates(directory, limit)
        return
    done, bad, after = 0, 0, None
    while True:
        page = ask(directory, "archive_delete", before=limit.isoformat(), reason=reason, by=by, after=after)
        for each in page["deleted"]:
            out(f"deleted      message {each['message']}: {each['documents']} documents, record {each['record']}\n")
        for each in page["problems"]:
            out(f"BAD          message {each['message']}: {plain(each['problem'], 400)}\n")
        done, bad, after = done + len(page["deleted"]), bad + len(page["problems"]), page["after"]
        if after is None:
            break
    note(f"{done} messages deleted; each deletion is a record of the ledger")
    raise typer.Exit(1 if bad else 0)


def _list_candidates(directory: Path, limit: "datetime") -> None:
    why = {"hold": "legal hold", "retention": "within retention", "waiting": "still under way"}
    counts: dict[str, int] = {}
    octets, after = 0, None
    while True:
        page = ask(directory, "archive_candidates", before=limit.isoformat(), after=after)
        for each in page["messages"]:
            counts[each["refusal"]] = counts.get(each["refusal"], 0) + 1
            octets += 0 if each["refusal"] else each["size"]
            word = f"stays        {why[each['refusal']]}:" if each["refusal"] else "would go    "
            out(
                f"{word} message {each['id']} of {plain(each['sender'])}, last event {when(each['last'])},"
                f" {each['evidence']} evidence, {each['size']} octets\n"
            )
        after = page["after"]
        if after is None:
            break
    going = counts.pop("", 0)
    note(f"{going} messages would go, {octets} octets of originals; {sum(counts.values())} stay")
    note("nothing was changed; add --execute to delete")


def _date(text: str) -> "datetime":
    from datetime import datetime
    from zoneinfo import ZoneInfo

    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=ZoneInfo("Europe/Istanbul"))
    except ValueError as error:
        raise typer.BadParameter("--before must be a day, YYYY-MM-DD") from error


def _steps(directory: Path, method: str, **arguments: Any) -> dict[str, Any]:
    """Call a command that works for a while, until it is done; the sums of all calls."""
    total: dict[str, Any] = {"groups": 0, "stamps": 0, "unsound": 0, "problems": []}
    while True:
        done = ask(directory, method, **arguments)
        for name in total:
            total[name] += done[name]
        if not done["more"]:
            return total
        if "algorithm" in arguments:
            arguments["after"] = done["after"]


def _tell_problems(done: dict[str, Any]) -> None:
    for each in done["problems"]:
        out(f"BAD          {plain(each, 400)}\n")
    if done["unsound"] > len(done["problems"]):
        out(f"BAD          and {done['unsound'] - len(done['problems'])} more\n")
    if done["unsound"]:
        raise typer.Exit(1)


def _digest(path: Path, algorithm: str) -> bytes:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).digest()


def _lines(report: "Report") -> Iterator[str]:
    said = "ok" if report.good else "examined"
    yield f"{said:<12} {report.documents} documents in {report.volumes} volumes, {report.stamps} time stamps\n"
    if report.deleted:
        yield f"ok           {report.deleted} documents deleted by the recorded procedure\n"
    if report.waiting:
        yield f"warning      {report.waiting} ledger records wait for the next archive time stamp\n"
    yield from _findings(report.findings)
    if report.count > len(report.findings):
        yield f"BAD          and {report.count - len(report.findings)} more\n"


def _findings(findings: Iterable[str]) -> Iterator[str]:
    return (f"BAD          {plain(each, 400)}\n" for each in findings)


def _data(report: "Report") -> dict[str, Any]:
    from kepgw.store.ids import moment

    return {
        "good": report.good,
        "volumes": report.volumes,
        "documents": report.documents,
        "deleted": report.deleted,
        "waiting": report.waiting,
        "stamps": report.stamps,
        "protected_until": None if report.expires is None else moment(report.expires).isoformat(),
        "count": report.count,
        "findings": report.findings,
    }


def _progress(done: int, groups: int) -> None:
    sys.stderr.write(f"\r{done} of {groups}" + ("\n" if done == groups else ""))
