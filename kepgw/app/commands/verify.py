"""``kepgw verify``: judge dispatches, receipts and bare evidence, one line a check."""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from kepgw.app.commands.access import Json, ask, note, out, out_json, plain

MAX_FILE = 1 << 30  # octets; a message is at most a few dozen MB
WORDS = {"ok": "ok", "bad": "BAD", "warning": "warning", "not checked": "not checked"}


@dataclass
class _Trusted:
    """What the judgement believes (DER)."""

    anchors: list[bytes] = field(default_factory=list)
    intermediates: list[bytes] = field(default_factory=list)


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help=".eml (dispatch or receipt) or evidence .xml.", show_default=False),
    ],
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Trust what this provider trusts, its peers included.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="ISO 8601; chains must hold then. UTC without offset.")
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--original", metavar="FILE", help="The original message, for the digest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify signatures, chains, time stamps and digests. Exit status: 0 nothing bad, 1 bad, 2 unreadable."""
    moment = _moment(at)
    trusted = _trusted(trust or [], directory)
    with _octets(original) as beside:
        results = [_judge(path, trusted, moment, beside) for path in files]
    if as_json:
        out_json(results)
    else:
        for result in results:
            out("".join(_lines(result, several=len(results) > 1)))
    if not trusted.anchors:  # who signed is then anybody, and the status cannot say so
        note("kepgw: nobody is trusted without --trust or --dir: what is ok is intact, whoever made it")
    statuses = {result["status"] for result in results}
    raise typer.Exit(2 if "unreadable" in statuses else 1 if "bad" in statuses else 0)


def _lines(result: dict[str, Any], *, several: bool) -> Iterator[str]:
    if several or "error" in result:
        yield f"{result['file']}{': ' + plain(result['error'], 400) if 'error' in result else ''}\n"
    about = ""
    for check in result["checks"]:
        if check["evidence"] != about:
            about = check["evidence"]
            yield f"{plain(about)}:\n"
        detail = f": {plain(check['detail'], 400)}" if check["detail"] else ""
        yield f"{WORDS[check['verdict']]:<12} {check['label']}{detail}\n"


def _judge(path: Path, trusted: _Trusted, at: datetime | None, original: Any) -> dict[str, Any]:
    from kepgw.errors import FormatError
    from kepgw.evidence.render import render
    from kepgw.trust.judge import judge_evidence, judge_message

    result: dict[str, Any] = {"file": str(path), "status": "unreadable", "kind": "", "checks": []}
    intermediates = tuple(trusted.intermediates)
    try:
        with _octets(path) as octets:
            if _is_xml(octets):
                judged = judge_evidence(
                    bytes(octets), trusted.anchors, at, original=original, name=path.name, intermediates=intermediates
                )
                result["kind"] = "Evidence"
                evidences, every, good = [judged], [("", each) for each in judged.checks], judged.good
            else:
                whole = judge_message(octets, trusted.anchors, at, original, intermediates=intermediates)
                result["kind"] = whole.kind
                evidences, every, good = whole.evidences, list(whole.every()), whole.good
    except (FormatError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return result | {"error": f"not readable as a REM message or evidence: {reason}"}
    if result["kind"] == "Evidence" and evidences[0].evidence is None and evidences[0].signature is None:
        return result | {"error": f"not readable as evidence: {every[0][1].detail}"}
    result["status"] = "good" if good else "bad"
    result["evidence"] = [
        {"name": each.name, "title_tr": render(each.evidence, "tr")[0], "title_en": render(each.evidence, "en")[0]}
        for each in evidences
        if each.evidence is not None
    ]
    result["checks"] = [
        {
            "evidence": name,
            "name": check.name,
            "label": check.label("en"),
            "verdict": check.verdict,
            "detail": check.detail,
        }
        for name, check in every
    ]
    return result


def _is_xml(octets: Any) -> bool:
    start = bytes(octets[:64]).removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith(b"<")


@contextmanager
def _octets(path: Path | None) -> Iterator[Any]:
    """A file's octets, mapped when it is large. Raises OSError or FormatError."""
    from kepgw.errors import FormatError

    if path is None:
        yield None
        return
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        if size > MAX_FILE:
            raise FormatError("larger than any message")
        if size <= 1 << 20:
            yield file.read(1 << 20)
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            "give an ISO 8601 time, for example 2026-03-01T12:00:00+03:00", param_hint="--at"
        ) from None
    return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).astimezone(UTC)


def _trusted(pems: Sequence[Path], directory: Path | None) -> _Trusted:
    """The given roots, and those of a provider: its own anchors and the end of each peer's chain."""
    from kepgw.trust.paths import load_anchors

    trusted = _Trusted(list(load_anchors(pems)))
    if directory is not None:
        from kepgw.app.config import load
        from kepgw.interop.card import read_card
        from kepgw.trust.keys import load_certificates

        config = load(directory)
        trusted.anchors += load_anchors(config.trust.anchors)
        for text in ask(directory, "peer_cards"):
            card = read_card(text)
            trusted.anchors += card.roots
            trusted.intermediates += [each for chain in card.process_chains for each in chain[1:-1]]
        for path in config.keys.process_certificates:
            trusted.intermediates += [_der(each) for each in load_certificates(path)]
    return trusted


def _der(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    octets: bytes = certificate.public_bytes(Encoding.DER)
    return octets
