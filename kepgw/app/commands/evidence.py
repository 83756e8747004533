"""``kepgw evidence``: every evidence of a message, and the whole case as files that anybody can verify."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, table, when

if TYPE_CHECKING:
    from kepgw.app.casefile import CaseWriter

app = typer.Typer(no_args_is_help=True, help="Evidence: list, export.")
MessageId = Annotated[
    str,
    typer.Option("--message", metavar="ID", help="Number, KEP identifier or Message-ID.", show_default=False),
]


@app.command("list")
def list_(directory: Folder, message: MessageId, as_json: Json = False) -> None:
    """Show every evidence of a message."""
    found = ask(directory, "evidence_list", message=message)
    if as_json:
        out_json(found)
    else:
        out(_table(found))


@app.command()
def export(
    directory: Folder,
    message: MessageId,
    zip_file: Annotated[
        Path | None, typer.Option("--zip", metavar="FILE", help="Write one zip; - is standard output.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the files into this folder.")
    ] = None,
) -> None:
    """Write the whole case of a message: original, dispatches, evidence, proofs, certificates, and a signed report.

    Without --zip and --out it goes into a new folder here, named after the message.
    """
    case = ask(directory, "case_open", message=message)
    if zip_file is None and folder is None:
        folder = Path(f"evidence-{case['number']}")
        out(f"{folder}\n")
    with _writer(case, zip_file, folder) as writer:
        _write(directory, case, writer)
        note(f"{writer.count + 1} files written")


def _table(found: list[dict[str, Any]]) -> str:
    rows = [
        (each["seq"], each["code"], each["title_en"], when(each["time"]), each["issuer"], each["recipient"], each["id"])
        for each in found
    ]
    return table(("SEQ", "CODE", "WHAT", "TIME", "ISSUER", "RECIPIENT", "ID"), rows)


@contextmanager
def _writer(case: dict[str, Any], zip_file: Path | None, folder: Path | None) -> Iterator["CaseWriter"]:
    """A writer into the wanted places. Raises ConfigurationError when one of them cannot be written."""
    import sys
    from datetime import datetime

    from kepgw.app.casefile import CaseWriter, FolderSink, Sink, ZipSink
    from kepgw.errors import ConfigurationError

    sinks: list[Sink] = []
    whole = False
    try:
        if folder is not None:
            sinks.append(FolderSink(folder))
        if zip_file is not None:
            target = sys.stdout.buffer if str(zip_file) == "-" else zip_file
            sinks.append(ZipSink(target, datetime.fromisoformat(case["t0"])))
        yield CaseWriter(sinks)
        whole = True
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename or zip_file} ({error.strerror})") from error
    finally:
        for sink in sinks:
            sink.close(whole=whole)


def _write(directory: Path, case: dict[str, Any], writer: "CaseWriter") -> None:
    from kepgw.app.report.readme import readme

    key = {"month": case["month"], "number": case["number"], "records": case["records"]}
    report = ask(directory, "case_report", **key)
    writer.add("README.txt", "text", readme(case, report))
    file, offset, xml = 0, 0, b""
    while (page := ask(directory, "case_page", **key, file=file, offset=offset))["more"]:
        for piece in page["pieces"]:
            octets = base64.b64decode(piece["octets"])
            writer.piece(piece["path"], piece["kind"], piece["about"], octets, ended=piece["ended"])
            if piece["kind"] == "evidence":
                xml += octets
                if piece["ended"]:
                    writer.add(piece["path"].removesuffix(".xml") + ".txt", "text", _readable(xml))
                    xml = b""
        file, offset = page["file"], page["offset"]
    for each in _material(report["material"]):
        writer.add(*each)
    writer.add("report/report.html", "report", base64.b64decode(report["html"]))
    writer.add("report/report.pdf", "report", base64.b64decode(report["pdf"]))
    about = {name: case[name] for name in ("provider", "exported", "records", "message")}
    writer.finish({**about, "short_id": report["short_id"], "development": report["development"]})


def _readable(xml: bytes) -> bytes:
    from kepgw.errors import FormatError
    from kepgw.evidence.reading import read
    from kepgw.evidence.render import to_text

    try:
        return to_text(read(xml)).encode("utf-8")
    except FormatError as error:
        return f"{error}\n".encode()


def _material(found: list[dict[str, str]]) -> list[tuple[str, str, bytes]]:
    """Certificates, then revocation, each named by its SHA-256."""
    import hashlib

    named = []
    for each in found:
        octets = base64.b64decode(each["octets"])
        digest = hashlib.sha256(octets).hexdigest()
        if each["kind"] == "certificate":
            named.append((f"trust/certificates/{digest}.cer", "certificate", octets))
        else:
            named.append((f"trust/revocation/{digest}.{each['kind']}", each["kind"], octets))
    return sorted(named)
