"""Certificates, CRLs and OCSP responses that keep signatures verifiable for long, each stored once.

Rows are only ever added: an old list is the proof of its time. Who reads them decides by ``kepgw.trust.material``.
"""

import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from kepgw.store.engine import Tx
from kepgw.store.ids import micros, moment
from kepgw.trust.keys import describe
from kepgw.trust.material import Fetched, Kind, Material, Revoked, Status, authority, choose, fingerprint, status

DEEPEST: Final = 8  # certificates of one chain
MOST_BELOW: Final = 200  # certificates of one issuer
MOST_CERTIFICATES: Final = 10_000  # that one look may bring
LONGEST_ORIGIN: Final = 500  # characters

# some: an issuer may publish several lists, each for a part of its certificates (RFC 5280 5.2.5)
_NEAREST: Final = (
    "SELECT octets FROM material WHERE about = ? AND kind = ? AND begins >= ? ORDER BY begins LIMIT 4",
    "SELECT octets FROM material WHERE about = ? AND kind = ? AND begins < ? ORDER BY begins DESC LIMIT 4",
)


def material_for(tx: Tx, certificate: bytes, at: datetime) -> list[Material]:
    """All that a verification of a signature by ``certificate`` (DER) made at ``at`` needs.

    The certificates of its chain, leaf first and root last as far as they are known, then for each of them the list or
    response that proves best whether it was revoked at ``at``. Empty when nothing is kept about this signer.
    """
    chain = chain_of(tx, certificate)
    found = [Material("certificate", each) for each in chain]
    for below, issuer in itertools.pairwise(chain):
        chosen = choose(below, issuer, _candidates(tx, below, issuer, at), at)
        if chosen is not None and chosen not in found:
            found.append(chosen)
    return found


def statuses(tx: Tx, pairs: Iterable[tuple[bytes, bytes]], at: datetime) -> list[Status]:
    """What is known about each certificate, given with its issuer (DER), at ``at``."""
    return [status(below, issuer, _candidates(tx, below, issuer, at), at) for below, issuer in pairs]


def asked(tx: Tx, certificate: bytes, issuer: bytes) -> tuple[datetime, datetime] | None:
    """When word of a certificate was last had over the network, and until when that holds; None when never."""
    row = tx.row(
        "SELECT fetched, ends FROM material WHERE ((about = ? AND kind = 'ocsp') OR (about = ? AND kind = 'crl'))"
        " AND origin LIKE 'http%' ORDER BY begins DESC LIMIT 1",
        fingerprint(certificate),
        authority(issuer),
    )
    return None if row is None else (moment(row[0]), moment(row[1]))


def chain_of(tx: Tx, certificate: bytes) -> list[bytes]:
    """The certificates (DER) from a signer upwards, as they were seen; empty when it is not kept."""
    chain: list[bytes] = []
    wanted: bytes | None = fingerprint(certificate)
    while wanted is not None and len(chain) < DEEPEST:
        row = tx.row("SELECT octets, above FROM material WHERE id = ? AND kind = 'certificate'", wanted)
        if row is None:
            break
        chain.append(bytes(row[0]))
        wanted = row[1]
    return chain


def pairs(tx: Tx, at: datetime) -> list[tuple[bytes, bytes]]:
    """Every kept certificate that is valid at ``at``, with its issuer (DER): of whom word must be had."""
    rows = tx.rows(
        "SELECT below.octets, issuer.octets FROM material AS below JOIN material AS issuer ON issuer.id = below.above"
        " WHERE below.kind = 'certificate' AND below.begins <= ? AND below.ends >= ?"
        " ORDER BY below.fetched, below.id LIMIT ?",
        micros(at),
        micros(at),
        MOST_CERTIFICATES,
    )
    return [(bytes(row[0]), bytes(row[1])) for row in rows]


def keep_chain(tx: Tx, chain: Sequence[bytes], at: datetime, origin: str = "signature") -> bool:
    """Keep the certificates of a validated chain (DER, root last). Whether any of them was new.

    A stranger's authority may make certificates without end: of one issuer MOST_BELOW are kept, and no more.
    """
    new = False
    for below, issuer in zip(reversed(chain), (None, *reversed(chain[1:])), strict=True):
        name, above = fingerprint(below), None if issuer is None else fingerprint(issuer)
        row = tx.row("SELECT above FROM material WHERE id = ?", name)
        if row is not None:
            if row[0] is None and above is not None:
                tx.run("UPDATE material SET above = ? WHERE id = ?", above, name)
                new = True
            continue
        count = tx.row("SELECT COUNT(*) FROM material WHERE kind = 'certificate' AND above = ?", above)
        if count is not None and count[0] >= MOST_BELOW:
            return new
        told = describe(below, at)
        span = (told.not_before, told.not_after)
        _insert(tx, Material("certificate", below), authority(below), above, span, at, origin)
        new = True
    return new


def keep_words(tx: Tx, fetched: Iterable[Fetched], at: datetime, distance: timedelta) -> int:
    """Keep lists and responses that were read for certificates that are kept. Returns how many are new.

    Of one issuer's lists, or one certificate's responses, none is kept that was said less than ``distance`` after the
    newest kept one, unless it says otherwise of the certificate.
    """
    new = 0
    for each in fetched:
        if tx.row("SELECT 1 FROM material WHERE id = ?", fingerprint(each.material.octets)):
            continue
        about = fingerprint(each.certificate) if each.material.kind == "ocsp" else authority(each.issuer)
        last = tx.row("SELECT MAX(begins) FROM material WHERE about = ? AND kind = ?", about, each.material.kind)
        if last and last[0] is not None and abs(each.word.said - moment(last[0])) < distance:
            known = _candidates(tx, each.certificate, each.issuer, each.word.said)
            before = status(each.certificate, each.issuer, known, each.word.said)
            if isinstance(before, Revoked) == (each.word.state in ("revoked", "hold")):
                continue
        _insert(tx, each.material, about, None, (each.word.said, each.word.until), at, each.origin)
        new += 1
    return new


def _candidates(tx: Tx, certificate: bytes, issuer: bytes, at: datetime) -> list[Material]:
    """Lists and responses said nearest to ``at``, on both sides."""
    found: dict[Material, None] = {}
    subjects: tuple[tuple[bytes, Kind], ...] = ((fingerprint(certificate), "ocsp"), (authority(issuer), "crl"))
    for about, kind in subjects:
        for sql in _NEAREST:
            found |= {Material(kind, bytes(row[0])): None for row in tx.rows(sql, about, kind, micros(at))}
    return list(found)


def _insert(
    tx: Tx,
    material: Material,
    about: bytes,
    above: bytes | None,
    span: tuple[datetime, datetime],
    at: datetime,
    origin: str,
) -> None:
    begins, ends = span
    tx.run(
        "INSERT INTO material (id, kind, about, above, begins, ends, fetched, origin, octets)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        fingerprint(material.octets),
        material.kind,
        about,
        above,
        micros(begins),
        micros(ends),
        micros(at),
        origin[:LONGEST_ORIGIN],
        material.octets,
    )
