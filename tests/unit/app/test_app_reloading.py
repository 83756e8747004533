"""What of a changed configuration takes effect, and what a faulty one does."""

import asyncio
from datetime import timedelta

from kepgw.app.config import load
from kepgw.app.initialise import initialise
from kepgw.app.provider import _Reloading
from kepgw.app.reloading import LIVE, compare, in_force
from kepgw.app.settings import Config
from kepgw.app.wiring import relay_settings, smtp_limits
from kepgw.errors import ConfigurationError


def test_every_live_name_is_a_setting():
    for name in LIVE:
        table, _, key = name.partition(".")
        assert table in Config.model_fields
        if key:
            assert key in Config.model_fields[table].annotation.model_fields


def test_compare(tmp_path):
    list(initialise(tmp_path, "hs90.kep.tr", 2000, True, "p-256"))
    path = tmp_path / "kepgw.toml"
    old = load(tmp_path)
    assert compare(old, old) == ([], [])
    text = path.read_text("utf-8").replace('etebligat = "refuse"', 'etebligat = "accept"')
    path.write_text(text.replace("workers = 0", "workers = 1"), "utf-8")
    assert compare(old, load(tmp_path)) == (["policy.etebligat"], ["signing.workers"])


def test_tables_of_peers_are_compared_one_by_one(tmp_path):
    list(initialise(tmp_path, "hs90.kep.tr", 2000, True, "p-256"))
    path = tmp_path / "kepgw.toml"
    text = path.read_text("utf-8")

    def with_peers(*tables):
        path.write_text(text + "".join(f"\n[[peer]]\n{table}\n" for table in tables), "utf-8")
        return load(tmp_path)

    old = with_peers('domain = "hs91.kep.tr"\nwindow = 60', 'domain = "hs92.kep.tr"')
    new = with_peers(
        'domain = "hs92.kep.tr"\nprofile = "rem-baseline"\nconnections = 2',
        'domain = "hs91.kep.tr"\nwindow = 61\n[peer.evidence]\nversion = "1"',
    )
    assert compare(old, new) == (
        ["peer.hs91.kep.tr.window", "peer.hs92.kep.tr.connections"],
        ["peer.hs91.kep.tr.evidence", "peer.hs92.kep.tr.profile"],
    )
    assert compare(in_force(old, new), new) == ([], ["peer.hs91.kep.tr.evidence", "peer.hs92.kep.tr.profile"])
    gone = with_peers()
    assert compare(in_force(new, gone), gone) == ([], ["peer.hs91.kep.tr.evidence", "peer.hs92.kep.tr.profile"])
    assert compare(in_force(old, gone), gone) == ([], [])


def test_what_waits_for_a_restart_is_not_in_force_by_half(tmp_path):
    """A room made from several tables takes the old value where only a restart takes the new one, and says so again."""
    list(initialise(tmp_path, "hs90.kep.tr", 2000, True, "p-256"))
    path = tmp_path / "kepgw.toml"
    old = load(tmp_path)
    text = path.read_text("utf-8").replace("proxies = []", 'proxies = ["192.0.2.1/32"]')
    text = text.replace("clock_bound = 60", "clock_bound = 7").replace("\nwindow = 86_400", "\nwindow = 7200")
    path.write_text(text, "utf-8")
    new = load(tmp_path)
    now = in_force(old, new)
    assert smtp_limits(new).proxies
    assert smtp_limits(now).proxies == ()
    assert relay_settings(now).window == timedelta(seconds=7200)
    assert relay_settings(now).clock_bound == relay_settings(old).clock_bound != relay_settings(new).clock_bound
    assert compare(now, new) == ([], ["listen.proxies", "stamping.clock_bound"])
    assert now.directory == new.directory


async def test_signals_that_come_at_once_are_one_reload_after_the_other(caplog):
    class Provider:
        running, count = 0, 0

        async def reload(self):
            self.count += 1
            self.running += 1
            assert self.running == 1
            await asyncio.sleep(0)
            self.running -= 1
            if self.count == 1:
                raise ConfigurationError("limits.nonsense is not a setting")

    provider = Provider()
    reloading = _Reloading(provider)
    reloading.ask()
    await asyncio.sleep(0)
    reloading.ask()
    reloading.ask()
    await reloading._task
    assert provider.count == 2
    reloading.ask()
    await reloading._task
    assert provider.count == 3
