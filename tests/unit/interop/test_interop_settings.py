from datetime import timedelta

import pytest

from kepgw.interop.settings import RelaySettings

PLAIN = RelaySettings(retry_jitter=0.0)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 30), (1, 60), (3, 240), (6, 1800), (7, 1800), (10**6, 1800)])
def test_waits_grow_to_a_bound(attempts, seconds):
    assert PLAIN.wait(attempts, 0.5) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 24), (0.5, 30), (1.0, 36)])
def test_jitter_goes_either_way(chance, seconds):
    assert RelaySettings(retry_jitter=0.2).wait(0, chance) == timedelta(seconds=seconds)


def test_a_huge_factor_is_no_error():
    assert RelaySettings(retry_factor=1e300, retry_jitter=0).wait(9, 0) == timedelta(minutes=30)
