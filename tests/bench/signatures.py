"""What a signature costs beside the bare private-key operation, and what verifying a dispatch costs beside hashing.

Each round takes one of everything in turn, so that all feel the same machine; medians over all rounds, after a warm-up.
Dispatches differ, so that no remembered reading helps; the certificate paths are remembered, as with any known peer.
"""

import argparse
import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from kepgw.evidence import ts102640, xades
from kepgw.evidence.codes import Element, Event
from kepgw.evidence.model import Entity, Evidence, Issuer, MessageDetails
from kepgw.message.envelope import OriginalPart, begin
from kepgw.trust import cms, devpki
from kepgw.trust.algorithms import HASHES, SIGNATURES, verify_signature
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.judge import judge_message
from kepgw.trust.keys import FileKey, load_key
from kepgw.trust.paths import load_anchors

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KINDS = {
    "rsa-2048": "rsa-sha256",
    "rsa-3072": "rsa-sha256",
    "rsa-3072 PSS": "rsa-pss-sha256",
    "p-256": "ecdsa-sha256",
    "p-384": "ecdsa-sha384",
}
DISPATCHES = 64  # more than any cache of readings holds
ORIGINAL = (
    b"From: <ayse@hs90.kep.tr>\r\nTo: <ali@hs91.kep.tr>\r\nSubject: Deneme\r\nMessage-ID: <1@ayse>\r\n\r\n"
    + b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n" * 280
)
Timed = dict[str, Callable[[], object]]


def evidence(number: int, digest: bytes) -> Evidence:
    """An evidence 10 with two recipients."""
    return Evidence(
        element=Element.SUBMISSION,
        event=Event.ACCEPTANCE,
        identifier=f"delil-{number}@hs90.kep.tr",
        policies=("urn:oid:2.16.792.1.1",),
        issuer=Issuer("kep@hs90.kep.tr", "HS90 KEP Hizmet Sağlayıcısı A.Ş.", "hs90.kep.tr"),
        event_time=AT,
        sender=Entity("ayse@hs90.kep.tr", "Ayşe Yılmaz"),
        recipients=(Entity("ali@hs91.kep.tr", "Ali"), Entity("veli@hs91.kep.tr")),
        message=MessageDetails("Deneme", "<1@ayse>", f"ileti-{number}@hs90.kep.tr", "sha256", digest),
        submission_time=AT,
        reply_to="ayse@hs90.kep.tr",
    )


def dispatch(number: int, key: FileKey, tsa: DevelopmentTsa) -> bytes:
    """A sealed dispatch of 20 KB, signed and stamped as tr-kep has it."""
    xml = xades.sign(ts102640.write(evidence(number, hashlib.sha256(ORIGINAL).digest())), key, AT, tsa)
    outer = [("From", "HS90 <kep@hs90.kep.tr>"), ("To", "<ali@hs91.kep.tr>"), ("Subject", "KEP")]
    inner = [("X-REM-EvidenceIdentifier", f"delil-{number}@hs90.kep.tr"), ("X-REM-Msg-Type", "Dispatch")]
    part = OriginalPart(len(ORIGINAL), False)
    named = [("SubmissionAcceptanceRejection.xml", xml)]
    unsealed = begin(outer + inner, inner, ("Merhaba", "<p>Merhaba</p>"), part, named, seed=str(number).encode())
    digest = hashlib.new(SIGNATURES[key.algorithm].digest, unsealed.signed_head + ORIGINAL + unsealed.tail).digest()
    return unsealed.head + ORIGINAL + unsealed.seal(cms.sign_detached(digest, key, AT, tsa))


def public_operation(key: FileKey, data: bytes, signature: bytes) -> None:
    """The bare check of one signature."""
    how = SIGNATURES[key.algorithm]
    verify_signature(key.certificate, how.kind, how.digest, HASHES[how.digest].digest_size, signature, data, "bench")


def medians(timed: Timed, rounds: int, warm: int = 20) -> dict[str, float]:
    """Milliseconds that each takes, interleaved."""
    took: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + warm):
        for name, work in timed.items():
            began = time.perf_counter()
            work()
            passed = time.perf_counter() - began
            if number >= warm:
                took[name].append(1000 * passed)
    return {name: statistics.median(each) for name, each in took.items()}


def measure(kind: str, rounds: int, folder: Path) -> dict[str, float | str]:
    """One row of the table."""
    devpki.create(folder / kind.replace(" ", "-"), "hs90.kep.tr", "kep@hs90.kep.tr", algorithm=kind.split()[0], at=AT)
    keys = folder / kind.replace(" ", "-") / "keys"
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem", algorithm=KINDS[kind])
    stamping = load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa")
    tsa = DevelopmentTsa(stamping, now=lambda: AT)
    anchors = load_anchors([keys / "root.pem"])
    data = bytes(300)
    made, stamped = key.sign(data), stamping.sign(data)
    digest = hashlib.new(SIGNATURES[key.algorithm].digest, data).digest()
    xml = ts102640.write(evidence(1, hashlib.sha256(ORIGINAL).digest()))
    sealed = [dispatch(number, key, tsa) for number in range(DISPATCHES)]
    if not all(judge_message(each, anchors, AT).good for each in sealed):
        raise RuntimeError("the dispatches made here do not verify")
    turn = iter(range(sys.maxsize))

    def verify() -> None:
        judge_message(sealed[next(turn) % DISPATCHES], anchors, AT)

    found = medians(
        {
            "bare": lambda: key.sign(data),
            "cades": lambda: cms.sign_detached(digest, key, AT),
            "xades": lambda: xades.sign(xml, key, AT, None),
            "verify": verify,
            "keys": lambda: (
                [public_operation(key, data, made) for _ in range(2)]
                + [public_operation(stamping, data, stamped) for _ in range(2)]
            ),
            # what it hashes: the signed part, the original in it, the evidence
            "hash": lambda: (hashlib.sha256(sealed[0]).digest(), hashlib.sha256(ORIGINAL).digest()),
        },
        rounds,
    )
    return {
        "key": kind,
        "bare ms": found["bare"],
        "CAdES/bare": found["cades"] / found["bare"],
        "XAdES/bare": found["xades"] / found["bare"],
        "CAdES +ms": found["cades"] - found["bare"],
        "XAdES +ms": found["xades"] - found["bare"],
        "verify ms": found["verify"] - found["hash"],
        "of it keys": found["keys"],
    }


def main() -> int:
    """Print the table, and write it as JSON with --json FILE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--keys", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="kepgw-bench-") as folder:
        for kind in given.keys:
            row = measure(kind, given.rounds, Path(folder))
            if not rows:
                print("  ".join(f"{name:>12}" for name in row), flush=True)
            rows.append(row)
            shown = (f"{each:>12.3f}" if isinstance(each, float) else f"{each:>12}" for each in row.values())
            print("  ".join(shown), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
