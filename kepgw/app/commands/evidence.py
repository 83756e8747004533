"""``kepgw evidence``: every evidence of a message, as the ledger holds it."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kepgw.app.commands.access import Folder, Json, ask, note, out, out_json, out_octets, table, when

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
    """Write every evidence of a message: the signed XML untouched, a readable text beside each, and an index.

    Without --zip and --out they go into a new folder here, named after the message.
    """
    found = list(_pages(directory, message))
    if zip_file is None and folder is None:
        number = str(ask(directory, "message_show", message=message)["number"])
        folder = Path(f"evidence-{number}")
        out(f"{folder}\n")
    files = dict(_files(found))
    try:
        if folder is not None:
            _write_folder(folder, files)
        if zip_file is not None:
            _write_zip(zip_file, files)
    except OSError as error:
        from kepgw.errors import ConfigurationError

        raise ConfigurationError(f"cannot write {error.filename or zip_file} ({error.strerror})") from error
    note(f"{len(found)} evidence written")


def _table(found: list[dict[str, Any]]) -> str:
    rows = [
        (each["seq"], each["code"], each["title_en"], when(each["time"]), each["issuer"], each["recipient"], each["id"])
        for each in found
    ]
    return table(("SEQ", "CODE", "WHAT", "TIME", "ISSUER", "RECIPIENT", "ID"), rows)


def _pages(directory: Path, message: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        page = ask(directory, "evidence_export", message=message, after=after)
        message = page["message"]
        yield from page["evidence"]
        if not page["more"]:
            return
        after = page["evidence"][-1]["seq"]


def _files(found: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Names and octets. Identifiers come from strangers too: nothing of them may leave the folder."""
    import json

    from kepgw.errors import FormatError
    from kepgw.evidence.reading import read
    from kepgw.evidence.render import to_text

    index = []
    for each in found:
        octets = base64.b64decode(each.pop("xml"))
        stem = f"{each['seq']:06}-{each['code']}-{_safe(each['id'])}"
        try:
            readable = to_text(read(octets))
        except FormatError as error:
            readable = f"{error}\n"
        yield f"{stem}.xml", octets
        yield f"{stem}.txt", readable.encode("utf-8")
        index.append({"file": f"{stem}.xml", **each})
    yield "index.json", json.dumps(index, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._@-]+", "_", name)[:100].lstrip(".") or "evidence"


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, octets in files.items():
        (folder / name).write_bytes(octets)


def _write_zip(target: Path, files: dict[str, bytes]) -> None:
    import io
    import zipfile

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in files.items():
            archive.writestr(name, octets)
    if str(target) == "-":
        out_octets(made.getvalue())
    else:
        target.write_bytes(made.getvalue())
