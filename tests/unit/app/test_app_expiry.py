"""Warnings before a certificate ends: by the date alone, once a day, and never again for what is over."""

from datetime import UTC, datetime, timedelta

import pytest

from kepgw.app import expirywatch
from kepgw.app.cards import own_card
from kepgw.app.config import load
from kepgw.app.expiry import ends_of
from kepgw.app.expirywatch import Ending, ExpiryWatch, due, stage
from kepgw.store.engine import Store
from kepgw.trust.processkeys import ProcessKeys

END = datetime(2026, 6, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("left", "near"),
    [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (0, 7), (-0.01, 0), (-400, 0)],
)
def test_stages(left, near):
    assert stage(END, END - left * DAY) == near


def test_what_is_over_is_told_for_a_week_unless_we_stand_still_without_it():
    anchor, process = Ending("trust-anchor", "a", END), Ending("process", "hs90", END, True)
    told = [[each.use for each, _ in due([anchor, process], END + days * DAY)] for days in (-61, -60, 7.5, 8)]
    assert told == [[], ["trust-anchor", "process"], ["trust-anchor", "process"], ["process"]]


@pytest.fixture
def watch(folder, monkeypatch):
    """A watch over the development provider, its lines, and a clock."""

    class Watch:
        def __init__(self):
            self.config = load(folder)
            self.certificates = ProcessKeys(place.place.certified() for place in self.config.keys.process)
            self.known = []
            self.time = self.certificates.keys[0].not_after - 61 * DAY
            self.store = Store.open(folder / "kepgw.sqlite")
            self.lines = []
            for level in ("warning", "error"):
                monkeypatch.setattr(
                    expirywatch._log, level, lambda event, level=level, **more: self.lines.append((level, event, more))
                )
            self.restart()

        def cards(self):
            return self.known

        def restart(self):
            self.watch = ExpiryWatch(self.store, self.config, ends_of(self.config, self, self), lambda: self.time)

    found = Watch()
    yield found
    found.store.close()


async def test_one_line_a_day_whatever_restarts_there_are(watch):
    counts = []
    for _ in range(63):
        before = [line for line in watch.lines if line[2]["use"] == "process"]
        for _ in range(3):
            await watch.watch.look()
            watch.restart()
            watch.time += timedelta(hours=4)
        watch.time += timedelta(hours=12)
        now = [line for line in watch.lines if line[2]["use"] == "process"]
        counts.append(len(now) - len(before))
    assert counts == [0] + [1] * 62
    told = [line for line in watch.lines if line[2]["use"] == "process"]
    assert {line[1] for line in told} == {"certificate-expires"}
    stages = [(level, more["stage"]) for level, _, more in told]
    assert sorted(set(stages), key=stages.index) == [("warning", 60), ("warning", 30), ("error", 7), ("error", 0)]
    assert told[0][2]["days"] == 60
    # the TLS certificate ended long before; it is vital and stays
    assert [line[2]["stage"] for line in watch.lines if line[2]["use"] == "tls"][-1] == 0


async def test_peers_and_the_last_of_several_keys_that_may_sign(watch, peer_folder):
    peer = load(peer_folder)
    (own,), (other,) = watch.certificates.keys, [each.place.certified() for each in peer.keys.process]
    watch.known = [own_card(peer, datetime.now(UTC))]
    watch.time = other.not_after - 5 * DAY
    await watch.watch.look()
    told = {(more["use"], more["holder"]) for _, _, more in watch.lines}
    assert ("process", "hs91.kep.tr") in told
    watch.certificates = ProcessKeys([own, other])
    ends = ends_of(watch.config, watch, watch)
    assert ends()["process", "hs90.kep.tr"] == max(own.not_after, other.not_after)
    for barred, left in ((own, other), (other, own)):
        watch.certificates.bar(frozenset({barred.fingerprint}))
        assert ends()["process", "hs90.kep.tr"] == left.not_after
