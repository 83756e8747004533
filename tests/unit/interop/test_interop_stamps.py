"""What the owner makes of what the signing processes tell: circuits and clocks."""

import logging
from datetime import timedelta

import pytest
from interop_house import HS91, case, original, tools

from kepgw.errors import StampUnavailable
from kepgw.evidence.codes import KepCode
from kepgw.interop.case import Order
from kepgw.interop.stamps import MOST_NEWS, Authority, News, Reporter, StampWatch
from kepgw.interop.workshop import Bench
from kepgw.trust.stamping import Attempt, Standing, TsaOrder

A, B = "http://a.example/", "http://b.example/"


def watch():
    return StampWatch((A, B), timedelta(seconds=60))


def news(*attempts, closed=(True, True)):
    standings = (Standing(A, closed[0], 0 if closed[0] else 5), Standing(B, closed[1], 0 if closed[1] else 5))
    return News(tuple(Attempt(name, outcome, 0.1, offset) for name, outcome, offset in attempts), standings)


def test_circuits_are_counted_by_process_and_go_with_it():
    told = watch()
    assert not told.none_serves
    told.heard(1, news(closed=(False, True)))
    told.heard(2, news(closed=(False, False)))
    assert (told.open(A), told.open(B)) == (2, 1)
    assert not told.none_serves
    told.heard(1, news(closed=(False, False)))
    assert told.none_serves
    told.heard(2, None)
    assert (told.open(A), told.open(B)) == (1, 1)
    told.heard(1, news())
    assert (told.open(A), told.none_serves) == (0, False)


@pytest.mark.parametrize(
    ("offsets", "differing", "ours", "words"),
    [
        ({A: 0.2, B: -0.3}, (), False, ""),
        ({A: 61.0, B: 0.0}, (A,), False, "clocks differ by 61 s"),
        ({A: 61.0}, (A,), False, "clocks differ by 61 s"),
        ({A: 400.0, B: 399.0}, (A, B), True, "the clock of this machine is wrong by 400 s"),
        ({A: 400.0, B: -400.0}, (A, B), False, "clocks differ by"),
    ],
)
def test_whose_clock_is_wrong(caplog, offsets, differing, ours, words):
    told = watch()
    for _ in range(3):
        told.heard(1, news(*((name, "clock" if abs(each) > 60 else "good", each) for name, each in offsets.items())))
    assert (told.clocks(), told.our_clock_is_wrong) == (differing, ours)
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert len(errors) == bool(words), "told once"
    assert words in "".join(errors)


def test_every_attempt_is_passed_on_once():
    told, seen = watch(), []
    told.attempted = seen.append
    reporter = Reporter()
    reporter.attempted(Attempt(A, "good", 0.1, 0.0))
    order = TsaOrder([])
    told.heard(1, reporter.news(order))
    told.heard(1, reporter.news(order))
    assert [each.authority for each in seen] == [A]
    for _ in range(MOST_NEWS + 5):
        reporter.attempted(Attempt(A, "good", 0.1))
    assert len(reporter.news(order).attempts) == MOST_NEWS


def test_nothing_is_signed_while_every_authority_is_left_alone(identities, monkeypatch):
    given = tools(identities.folder, HS91)
    from dataclasses import replace

    dead = Authority("http", "http://127.0.0.1:1/tsa", 0.2)
    bench = Bench(replace(given, stamping=replace(given.stamping, authorities=(dead,))))
    made = case(original("ali@hs91.kep.tr"))
    order = Order(KepCode.KABUL, made.evidence_id, made.t0)
    with pytest.raises(StampUnavailable, match="ConnectError"):
        bench.make(made, order)
    monkeypatch.setattr("kepgw.interop.workshop.xades.sign", None)  # would fail
    with pytest.raises(StampUnavailable, match="the next is asked in"):
        bench.make(made, order)
    report = bench.report()
    assert [each.outcome for each in report.attempts] == ["connect"]
    assert [each.closed for each in report.standings] == [False]
