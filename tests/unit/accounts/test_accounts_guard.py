"""Locks that meet the guesser and not the owner."""

import pytest

from kepgw.accounts.guard import GuardSettings, LoginGuard, neighbourhood

ALI, EVIL, HOME = "ali@hs90.kep.tr", "203.0.113.9", "198.51.100.1"
SETTINGS = GuardSettings(failures=3, address_failures=6, delay=1.0, delay_most=4.0, lock=60.0, lock_most=200.0)


def test_each_failure_costs_more_and_a_few_lock():
    guard = LoginGuard(SETTINGS)
    assert [guard.failed(ALI, EVIL, 0.0), guard.failed(ALI, EVIL, 1.0)] == [1.0, 2.0]
    assert guard.locked(ALI, EVIL, 1.0) == 0
    assert guard.failed(ALI, EVIL, 2.0) == 4.0
    assert guard.locked(ALI, EVIL, 2.0) == 60.0
    assert guard.locked(ALI, EVIL, 61.0) == 1.0
    assert guard.locked(ALI, EVIL, 62.0) == 0
    guard.failed(ALI, EVIL, 62.0)
    assert guard.locked(ALI, EVIL, 62.0) == 120.0
    for _ in range(50):
        assert guard.failed(ALI, EVIL, 63.0) == 4.0
    assert guard.locked(ALI, EVIL, 63.0) == 200.0


def test_the_owner_elsewhere_notices_nothing():
    guard = LoginGuard(SETTINGS)
    for _ in range(100):
        guard.failed(ALI, EVIL, 0.0)
    assert guard.locked(ALI, HOME, 0.0) == 0
    assert guard.failed(ALI, HOME, 0.0) == 1.0


def test_an_address_that_tries_many_logins_is_locked_for_all():
    guard = LoginGuard(SETTINGS)
    for number in range(5):
        guard.failed(f"{number}@hs90.kep.tr", EVIL, 0.0)
    assert guard.locked("new@hs90.kep.tr", EVIL, 0.0) == 0
    guard.failed("5@hs90.kep.tr", EVIL, 0.0)
    assert guard.locked("new@hs90.kep.tr", EVIL, 0.0) == 60.0
    assert guard.locked("new@hs90.kep.tr", HOME, 0.0) == 0


def test_success_and_time_forget():
    guard = LoginGuard(SETTINGS)
    guard.failed(ALI, HOME, 0.0)
    guard.failed(ALI, HOME, 0.0)
    guard.succeeded(ALI, HOME)
    assert guard.failed(ALI, HOME, 1.0) == 1.0
    assert guard.failed(ALI, HOME, 1.0 + SETTINGS.forget) == 2.0
    assert guard.failed(ALI, HOME, 2.0 + 2 * SETTINGS.forget) == 1.0


def test_a_success_of_one_login_does_not_wash_an_address_clean():
    guard = LoginGuard(SETTINGS)
    for number in range(6):
        guard.failed(f"{number}@hs90.kep.tr", EVIL, 0.0)
        guard.succeeded("evil@hs90.kep.tr", EVIL)
    assert guard.locked(ALI, EVIL, 0.0) == 60.0


def test_who_got_in_from_an_address_is_not_locked_out_by_a_guesser_beside():
    """One office, one address: a colleague's guessing locks him and strangers, not those who work there."""
    guard = LoginGuard(SETTINGS)
    guard.succeeded(ALI, HOME)
    for number in range(6):
        guard.failed(f"{number}@hs90.kep.tr", HOME, 0.0)
    assert guard.locked("7@hs90.kep.tr", HOME, 0.0) == 60.0
    assert guard.locked(ALI, HOME, 0.0) == 0
    for _ in range(3):
        guard.failed(ALI, HOME, 0.0)
    assert guard.locked(ALI, HOME, 0.0) == 60.0


def test_a_login_without_a_name_is_not_the_address():
    guard = LoginGuard(SETTINGS)
    for _ in range(3):
        guard.failed("", EVIL, 0.0)
    assert guard.locked(ALI, EVIL, 0.0) == 0
    guard.succeeded("", EVIL)
    for number in range(3):
        guard.failed(f"{number}@hs90.kep.tr", EVIL, 0.0)
    assert guard.locked(ALI, EVIL, 0.0) == 60.0  # six failures of the address, which nothing has washed off


def test_who_got_in_is_remembered_within_a_bound():
    guard = LoginGuard(SETTINGS, entries=50)
    for number in range(500):
        guard.succeeded(f"{number}@hs90.kep.tr", HOME)
    assert len(guard._known) == 50


def test_memory_has_a_bound_and_who_is_busy_is_not_forgotten():
    guard = LoginGuard(SETTINGS, entries=50)
    for number in range(500):
        guard.failed(f"{number}@hs90.kep.tr", EVIL, 0.0)
    assert len(guard._records) == 50
    assert guard.locked("new@hs90.kep.tr", EVIL, 0.0) == 200.0


@pytest.mark.parametrize(
    ("remote", "place"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("local", "local"),
    ],
)
def test_one_place(remote, place):
    assert neighbourhood(remote) == place
