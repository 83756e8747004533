"""``kepgw verify``: judge messages, evidence, detached signatures and whole cases, for people and for programs."""

import base64
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kepgw.app.commands.access import Json, ask, moment_of, note, out, out_json, plain

if TYPE_CHECKING:
    from kepgw.app.verification import Learn, Verified
    from kepgw.texts import Language
    from kepgw.trust.trusted import Trusted


class Lang(StrEnum):
    """The languages of the sentences."""

    TR = "tr"
    EN = "en"
    BOTH = "both"


def verify(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help=".eml (dispatch or receipt), evidence .xml, .p7s with its .eml, a case .zip; - is standard input.",
            show_default=False,
        ),
    ],
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", metavar="PEM", help="Trust the certificates of this file.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Trust what this provider trusts, its peers included.")
    ] = None,
    material: Annotated[
        list[Path] | None,
        typer.Option("--material", metavar="FOLDER", help="Use its .crl, .ocsp and certificates; trust none of them."),
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="TIME", help="ISO 8601; chains must hold then. UTC without offset.")
    ] = None,
    original: Annotated[
        str | None, typer.Option("--original", metavar="FILE", help="The original message, for the digest.")
    ] = None,
    lang: Annotated[
        Lang | None, typer.Option("--lang", help="Language of the sentences: that of the locale, or both.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify signatures, chains, revocation, time stamps and digests, and say what they prove.

    Exit status: 0 everything holds, 1 something is bad, 2 something cannot be read, 3 nothing is bad, but a signature
    is not shown to be that of anybody you trust.
    """
    from kepgw.app import verification

    if [*files, original].count(verification.STDIN) > 1:
        raise typer.BadParameter("standard input can be read once only")
    trusted = _trusted(trust or [], directory, material or [])
    question = verification.Question(files, trusted, moment_of(at), original)
    question, results = verification.verify(question, None if directory is None else _store(directory, trusted))
    if as_json:
        out_json(verification.as_json(question, results))
    else:
        languages = _languages(lang)
        out("\n".join("".join(f"{line}\n" for line in _lines(each, languages)) for each in results))
    if not trusted.anchors:
        note("kepgw: nobody is trusted without --trust or --dir: what is ok is intact, whoever made it")
    raise typer.Exit(verification.EXIT[verification.status_of(results)])


def _lines(result: "Verified", languages: Sequence["Language"]) -> Iterator[str]:
    from kepgw.texts import text
    from kepgw.trust.tree import draw

    if result.tree is not None:
        yield from draw(result.tree, languages)
        return
    for language in languages:
        yield text(result.trouble, language, file=plain(result.file, 400))
    yield f"  ({plain(result.error, 400)})"


def _languages(chosen: Lang | None) -> tuple["Language", ...]:
    """The language asked for; else that of the locale (POSIX 8.2), both where it is neither."""
    if chosen is None:
        named = next((value for key in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(key))), "")
        chosen = next((each for each in (Lang.TR, Lang.EN) if named.lower().startswith(each.value)), Lang.BOTH)
    return ("tr", "en") if chosen is Lang.BOTH else ("tr",) if chosen is Lang.TR else ("en",)


def _store(directory: Path, trusted: "Trusted") -> "Learn":
    """What the provider keeps about signers, beside what is trusted."""
    from kepgw.trust.listing import Listing
    from kepgw.trust.material import Material

    def learn(signers: dict[bytes, datetime]) -> "Trusted | None":
        asked = [
            {"certificate": base64.b64encode(certificate).decode("ascii"), "at": time.isoformat()}
            for certificate, time in signers.items()
        ]
        found = [
            Material(each["kind"], base64.b64decode(each["octets"]))
            for each in ask(directory, "material", signers=asked)
        ]
        listings = tuple(
            Listing(
                each["list"],
                base64.b64decode(each["certificate"]),
                datetime.fromisoformat(each["at"]),
                each["granted"],
                each["status"],
                None if each["since"] is None else datetime.fromisoformat(each["since"]),
                each["provider"],
                each["sequence"],
            )
            for each in ask(directory, "trust_listings", signers=asked)
        )
        if not found and not listings:
            return None
        between = (each.octets for each in found if each.kind == "certificate")
        lists = (each for each in found if each.kind != "certificate")
        return replace(
            trusted,
            intermediates=tuple(dict.fromkeys((*trusted.intermediates, *between))),
            materials=tuple(dict.fromkeys((*trusted.materials, *lists))),
            listings=listings,
        )

    return learn


def _trusted(pems: Sequence[Path], directory: Path | None, folders: Sequence[Path]) -> "Trusted":
    """The given roots, and those of a provider: its own anchors, and each peer's for that peer alone."""
    from cryptography.hazmat.primitives.serialization import Encoding

    from kepgw.app import verification
    from kepgw.errors import ConfigurationError
    from kepgw.trust.material import Material
    from kepgw.trust.paths import load_anchors
    from kepgw.trust.trusted import Trusted

    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(f"{folder}: no folder")
    anchors, between, senders = list(load_anchors(pems)), list[bytes](), list[bytes]()
    materials: list[Material] = []
    owners: dict[bytes, frozenset[str]] = {}

    def read(folder: Path, certificates: list[bytes]) -> None:
        found, lists, problems = verification.read_folder(folder)
        certificates += found
        materials.extend(lists)
        for problem in problems:
            note(f"kepgw: {problem}")

    for folder in folders:
        read(folder, between)
    if directory is not None:
        from kepgw.app.config import load
        from kepgw.interop.card import read_card
        from kepgw.trust.keys import load_certificates

        config = load(directory)
        anchors += load_anchors(config.trust.anchors)
        for text in ask(directory, "peer_cards"):
            card = read_card(text)
            owners |= {root: owners.get(root, frozenset()) | {*card.domains} for root in card.roots}
            between += [each for chain in card.process_chains for each in chain[1:-1]]
        for path in config.keys.process_certificates:
            between += [each.public_bytes(Encoding.DER) for each in load_certificates(path)]
        read(config.material.folder, between)
        read(config.submission.trust_anchors, senders)
    return Trusted(
        tuple(dict.fromkeys((*anchors, *owners))),
        tuple(between),
        tuple(dict.fromkeys(materials)),
        sender_anchors=tuple(senders),
        owners={root: domains for root, domains in owners.items() if root not in anchors},
    )
