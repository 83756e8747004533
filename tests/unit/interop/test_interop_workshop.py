"""The signing processes: real ones, started once."""

import os
import signal
from dataclasses import replace

import pytest
from interop_house import HS91, case, original, tools

from kepgw.errors import SigningUnavailable, StampUnavailable
from kepgw.evidence.codes import KepCode
from kepgw.interop.case import Order
from kepgw.interop.stamps import Authority
from kepgw.interop.workshop import Bench, Workshop
from kepgw.message.rendering import render
from kepgw.trust.judge import judge_message

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
