"""A development provider's folder, and a store with one message that has been through everything."""

import hashlib
import io
import shutil
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from kepgw.app.cli import main
from kepgw.app.config import load
from kepgw.app.initialise import initialise
from kepgw.evidence import ts102640, xades
from kepgw.evidence.codes import KEP_CODES, KepCode, Reason
from kepgw.evidence.model import Entity, Evidence, GivenReason, Issuer, MessageDetails
from kepgw.journey.states import State
from kepgw.store import messages, tasks
from kepgw.store.engine import Store
from kepgw.store.ids import month_of, new_id
from kepgw.store.octets import put_blob
from kepgw.trust.keys import load_key
from kepgw.trust.stamping import DevelopmentTsa

ORIGINAL = (
    b"From: <ayse@hs90.kep.tr>\r\nTo: <ali@hs91.kep.tr>\r\nSubject: Deneme\r\nMessage-ID: <1@ayse>\r\n\r\nMerhaba\r\n"
)


@pytest.fixture(scope="session")
def original():
    """The message that the evidence of ``signed`` speaks of."""
    return ORIGINAL


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Two providers made once: hs90 and hs91."""
    root = tmp_path_factory.mktemp("providers")
    for number, name in enumerate(("hs90", "hs91")):
        initialise(root / name, f"{name}.kep.tr", 42000 + number * 1000, True, "p-256")
    return root


@pytest.fixture
def folder(made, tmp_path):
    """A copy of hs90 that a test may spoil; every port is chosen by the system except the relay's."""
    return copy(made / "hs90", tmp_path / "hs90")


@pytest.fixture
def peer_folder(made, tmp_path):
    return copy(made / "hs91", tmp_path / "hs91")


def copy(source, target):
    shutil.copytree(source, target)
    return target


def settings(folder, **changes):
    """Change lines of kepgw.toml: settings(folder, imap=0)."""
    path = folder / "kepgw.toml"
    lines = path.read_text("utf-8").splitlines()
    for key, value in changes.items():
        (found,) = [number for number, line in enumerate(lines) if line.startswith(f"{key} = ")]
        lines[found] = f"{key} = {value}"
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def kepgw(capsysbinary, monkeypatch):
    """kepgw("account", "list", DIR, stdin=b"") -> status, out, err."""

    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsysbinary.readouterr()
        return SimpleNamespace(status=status, out=out.decode("utf-8", "replace"), octets=out, err=err.decode())

    return run


@pytest.fixture(scope="session")
def signed(made):
    """signed(code, ...) -> the octets of a real evidence of hs90, signed and stamped now."""
    keys = made / "hs90" / "keys"
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
    stamp = DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"))

    def make(code, identifier, recipients=("ali@hs91.kep.tr",)):
        rule = KEP_CODES[KepCode(code)]
        at = datetime.now(UTC)
        said = Evidence(
            element=rule.element,
            event=rule.event,
            identifier=identifier,
            policies=("urn:test:policy",),
            issuer=Issuer("kep@hs90.kep.tr", "HS90", "hs90.kep.tr"),
            event_time=at,
            sender=Entity("ayse@hs90.kep.tr", "Ayşe"),
            recipients=tuple(Entity(address) for address in recipients),
            message=MessageDetails(
                "Deneme", "<1@ayse>", "remmd.1@hs90.kep.tr", "sha256", hashlib.sha256(ORIGINAL).digest()
            ),
            submission_time=at,
            reply_to="ayse@hs90.kep.tr",
            reasons=() if rule.positive else (GivenReason(Reason.UNKNOWN_RECIPIENT, "yok"),),
        )
        return xades.sign(ts102640.write(said), key, at, stamp)

    return make


T0 = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def filled(folder, signed):
    """hs90 with a message to two recipients at hs91 and a blind one: 10 for all, 20 and 40 for the first, 21 for the
    second; the blind one still waits for the relay."""
    store = Store.open(load(folder).store_path)
    month, number = month_of(T0), new_id(T0)
    message = messages.Message(
        month=month,
        id=number,
        direction="out",
        account=None,
        operator=None,
        peer=None,
        sender="ayse@hs90.kep.tr",
        sender_name="Ayşe",
        subject="Deneme \x1b[31m",
        ua_message_id="<1@ayse>",
        t0=T0,
        size=len(ORIGINAL),
        eight_bit=False,
        digest=hashlib.sha256(ORIGINAL).digest(),
        content=None,
        facts={},
        state="accepted",
    )
    octets = {}

    def dispatch(tx, name, blind, recipients):
        made = messages.Dispatch(
            month, new_id(T0), number, f"{name}@hs90.kep.tr", f"delil.{name}@hs90.kep.tr", blind, "tr-kep",
            hashlib.sha256(ORIGINAL).digest(), "issued",
        )  # fmt: skip
        messages.insert_dispatch(tx, made, recipients, T0)
        messages.claim(tx, "remmd", made.remmd_id.encode(), month, made.id)
        return made.id

    def evidence(tx, dispatch, code, identifier, ordinal, issuer, after, reason=""):
        octets[identifier] = xml = signed(code, identifier)
        blob = new_id(T0)
        put_blob(tx, month, blob, [xml])
        row = messages.EvidenceRow(
            month, identifier, dispatch, number, ordinal, code, issuer, issuer == "hs90.kep.tr",
            T0 + timedelta(seconds=after), reason, blob, None,
        )  # fmt: skip
        messages.record_evidence(tx, row)

    def work(tx):
        messages.insert_message(tx, message)
        named = [
            messages.Recipient(
                1, "ali@hs91.kep.tr", "Ali", "hs91.kep.tr", None, State.DELIVERED, frozenset({"20", "40"})
            ),
            messages.Recipient(2, "yok@hs91.kep.tr", "", "hs91.kep.tr", None, State.REFUSED, frozenset({"21"})),
        ]
        first = dispatch(tx, "remmd.1", False, named)
        hidden = [messages.Recipient(1, "gizli@hs91.kep.tr", "", "hs91.kep.tr", None, State.RELAYING)]
        blind = dispatch(tx, "remmd.2", True, hidden)
        evidence(tx, first, 10, "delil.a@hs90.kep.tr", None, "hs90.kep.tr", 1)
        evidence(tx, first, 40, "delil.c@hs91.kep.tr", 1, "hs91.kep.tr", 3)
        evidence(tx, first, 20, "delil.b@hs91.kep.tr", None, "hs91.kep.tr", 2)
        evidence(tx, first, 21, "delil.d/../x@hs91.kep.tr", 2, "hs91.kep.tr", 2, "UnknownRecipient")
        evidence(tx, blind, 10, "delil.e@hs90.kep.tr", None, "hs90.kep.tr", 1)
        for kind, lane, due in (("relay", "hs91.kep.tr", 3600), ("answer-window", "timer", 7200)):
            ordinal = None if kind == "relay" else 1
            task = tasks.Task(
                tasks.Kind(kind), month, number, blind, lane, T0 + timedelta(days=3000, seconds=due), {}, T0,
                attempts=2, last_error="connection refused" if kind == "relay" else "", ordinal=ordinal,
            )  # fmt: skip
            tasks.add(tx, task)

    try:
        store.write_now(work)
    finally:
        store.close()
    return SimpleNamespace(folder=folder, number=str(number), octets=octets)
