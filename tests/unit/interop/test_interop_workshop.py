"""The signing processes: real ones, started once."""

import asyncio
import hashlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from interop_house import HS91, HS92, case, original, tools
from softhsm import MODULE, SoftHsm

from kepgw.errors import ConfigurationError, SigningUnavailable, StampUnavailable
from kepgw.evidence import xades
from kepgw.evidence.codes import KepCode
from kepgw.interop.case import Order
from kepgw.interop.stamps import Authority
from kepgw.interop.workshop import Bench, Workshop
from kepgw.message.rendering import render
from kepgw.trust import cms, devpki
from kepgw.trust.judge import judge_message
from kepgw.trust.paths import load_anchors
from kepgw.trust.pkcs11session import PinRefused, TokenPlace
from kepgw.trust.processkeys import KeyPlace

OCTETS = original("ali@hs91.kep.tr")


def pids(workshop):
    return {each.process.pid for each in workshop._processes._processes}


def stamped_by(given, *authorities):
    return replace(given, stamping=replace(given.stamping, authorities=authorities))


def order(given):
    return Order(KepCode.KABUL, given.evidence_id, given.t0)


async def test_work_is_done_in_other_processes_and_a_dead_one_is_replaced(identities):
    workshop = Workshop(tools(identities.folder, HS91), workers=1)
    try:
        await workshop.start()
        given = case(OCTETS)
        made, sealed = await workshop.issue(given, order(given), render(OCTETS), OCTETS)
        assert judge_message(made.receipt, identities.anchors(HS91)).good
        assert judge_message(sealed.head + OCTETS + sealed.tail, identities.anchors(HS91)).good
        large, unsealed = await workshop.issue(given, order(given), render(OCTETS), None)
        assert unsealed is None
        assert large.unsealed is not None
        (pid,) = pids(workshop)
        assert pid != os.getpid()
        os.kill(pid, signal.SIGKILL)
        # the job that meets the dead process waits and is tried again; the next one finds a fresh process
        for _ in range(2):
            try:
                again = await workshop.make(given, order(given))
            except SigningUnavailable:
                continue
            break
        assert again.evidence.identifier == made.evidence.identifier
        assert pids(workshop) != {pid}
    finally:
        await workshop.close()


def test_a_certificate_that_has_ended_signs_nothing(identities, monkeypatch):
    from datetime import UTC, datetime

    from kepgw.interop import workshop as module

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2040, 1, 1, tzinfo=UTC)

    bench = Bench(tools(identities.folder, HS91))
    monkeypatch.setattr(module, "datetime", Later)
    given = case(OCTETS)
    with pytest.raises(SigningUnavailable):
        bench.make(given, order(given))


def test_without_any_authority_nothing_is_made(identities):
    dead = Authority("http", "http://127.0.0.1:1/tsa", 0.2)
    bench = Bench(stamped_by(tools(identities.folder, HS91), dead))
    given = case(OCTETS)
    with pytest.raises(StampUnavailable):
        bench.make(given, order(given))


def test_authorities_are_asked_in_order(identities):
    dead = Authority("http", "http://127.0.0.1:1/tsa", 0.2)
    bench = Bench(stamped_by(tools(identities.folder, HS91), dead, Authority("development", "", 1.0)))
    given = case(OCTETS)
    assert judge_message(bench.make(given, order(given)).receipt, identities.anchors(HS91)).good


async def test_a_barred_certificate_signs_nothing_also_in_a_process_that_starts_later(identities):
    workshop = Workshop(tools(identities.folder, HS91), workers=1)
    given = case(OCTETS)
    (key,) = workshop.certificates.keys
    try:
        await workshop.start()
        await workshop.bar(frozenset({key.fingerprint}))
        with pytest.raises(SigningUnavailable, match="revoked"):
            await workshop.make(given, order(given))
        os.kill(*pids(workshop), signal.SIGKILL)
        with pytest.raises(SigningUnavailable):
            await workshop.make(given, order(given))
        with pytest.raises(SigningUnavailable, match="revoked"):
            await workshop.make(given, order(given))
        with pytest.raises(SigningUnavailable, match="revoked"):
            workshop.certificates.choose(given.t0)
        await workshop.bar(frozenset())
        assert judge_message((await workshop.make(given, order(given))).receipt, identities.anchors(HS91)).good
    finally:
        await workshop.close()


@pytest.fixture
def hsm(tmp_path, monkeypatch):
    """A token with the process key of an hs91 whose certificates lie in ``keys``."""
    made = SoftHsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", made.environment["SOFTHSM2_CONF"])  # the signing processes inherit it
    return made


def on_token(hsm, base, keys, *more, **changes):
    """Tools with a key on the token, and other keys."""
    place = replace(TokenPlace(MODULE, "kepgw", "process", None, hsm.pin_file), **changes)
    return replace(base, process_keys=(KeyPlace((keys / "process.pem", keys / "intermediate.pem"), place), *more))


def signed_by(made):
    return xades.verify(made.xml).signer


async def test_a_token_is_used_by_as_many_processes_as_it_bears(hsm, identities):
    keys = identities.folder / HS91 / "keys"
    hsm.take(keys / "process.key")
    used = on_token(hsm, tools(identities.folder, HS91), keys)
    given = case(OCTETS)
    for tokens_processes in (1, 2):
        workshop = Workshop(on_token(hsm, used, keys, workers=tokens_processes), workers=3)
        try:
            await workshop.start()
            all_made = await asyncio.gather(*(workshop.make(given, order(given)) for _ in range(12)))
            assert all(judge_message(made.receipt, identities.anchors(HS91)).good for made in all_made)
            assert len([pid for pid in pids(workshop) if at_the_token(pid)]) == tokens_processes
            # the process that used the token dies, and another takes its place
            for pid in pids(workshop):
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(SigningUnavailable):
                await workshop.make(given, order(given))
            assert (await workshop.make(given, order(given))).receipt
        finally:
            await workshop.close()


def at_the_token(pid):
    """Whether a process has loaded the module: it was asked to sign there."""
    return "libsofthsm2" in Path(f"/proc/{pid}/maps").read_text()


async def test_a_wrong_pin_is_tried_once_by_all_processes_together(hsm, identities, caplog):
    keys = identities.folder / HS91 / "keys"
    hsm.take(keys / "process.key")
    hsm.pin_file.write_text("wrong-1234")
    workshop = Workshop(on_token(hsm, tools(identities.folder, HS91), keys, workers=2), workers=2)
    given = case(OCTETS)
    try:
        await workshop.start()  # it starts: what waits is seen, and a restart in a loop would lock the token
        assert "refuses the PIN" in caplog.text
        for pid in pids(workshop):
            os.kill(pid, signal.SIGKILL)
        for _ in range(6):
            with pytest.raises(SigningUnavailable, match=r"until a restart|ended"):
                await workshop.make(given, order(given))
        with pytest.raises(PinRefused, match="until a restart"):
            await workshop.make(given, order(given))
        assert not any(at_the_token(pid) for pid in pids(workshop)), "not one of the new ones went to the token"
    finally:
        await workshop.close()


async def test_a_key_that_is_not_that_of_its_certificate_does_not_start(hsm, identities):
    hsm.take(identities.folder / HS92 / "keys" / "process.key")
    workshop = Workshop(on_token(hsm, tools(identities.folder, HS91), identities.folder / HS91 / "keys"), workers=2)
    try:
        with pytest.raises(ConfigurationError, match="does not belong to its certificate"):
            await workshop.start()
    finally:
        await workshop.close()


async def test_from_a_file_to_a_token(hsm, identities, tmp_path):
    """The old key in a file, the new one on a token, of another kind; each made to sign in its turn."""
    devpki.create(tmp_path / HS91, HS91, f"kep@{HS91}", algorithm="rsa-2048")
    new, old = tmp_path / HS91 / "keys", tools(identities.folder, HS91)
    hsm.take(new / "process.key")
    workshop = Workshop(on_token(hsm, old, new, *old.process_keys), workers=2)
    on_the_token, in_the_file = workshop.certificates.keys
    given = case(OCTETS)
    try:
        await workshop.start()
        assert signed_by(await workshop.make(given, order(given))) == on_the_token.certificate
        await workshop.bar(frozenset({on_the_token.fingerprint}))
        assert signed_by(await workshop.make(given, order(given))) == in_the_file.certificate
        await workshop.bar(frozenset({in_the_file.fingerprint}))
        made, sealed = await workshop.issue(given, order(given), render(OCTETS), OCTETS)
        assert signed_by(made) == on_the_token.certificate
        judged = judge_message(sealed.head + OCTETS + sealed.tail, load_anchors([new / "root.pem"]))
        assert judged.cms.signer == on_the_token.certificate
    finally:
        await workshop.close()


def test_a_certificate_with_another_name_signs_in_that_name(identities, tmp_path):
    devpki.create(tmp_path / HS91, HS91, "kayit@hs91.kep.tr", algorithm="p-256")
    given = case(OCTETS)
    made = Bench(tools(tmp_path, HS91)).make(given, order(given), render(OCTETS))
    assert made.evidence.issuer.address == "kayit@hs91.kep.tr"
    assert b"<kayit@hs91.kep.tr>" in made.receipt
    assert b"<kayit@hs91.kep.tr>" in made.unsealed.head


async def test_a_report_is_signed_with_a_key_on_a_token(hsm, identities):
    keys = identities.folder / HS91 / "keys"
    hsm.take(keys / "process.key")
    workshop = Workshop(on_token(hsm, tools(identities.folder, HS91), keys, workers=1), workers=1)
    try:
        await workshop.start()
        algorithm = await workshop.report_digest()
        digest = hashlib.new(algorithm, b"%PDF").digest()
        reading = cms.verify(await workshop.sign_report(digest), {algorithm: digest})
    finally:
        await workshop.close()
    assert reading.signing_time is None, "the PDF states it itself (EN 319 142-1 6.3)"
    assert reading.token is not None
    assert reading.signer == identities.card(HS91).signers[0]
