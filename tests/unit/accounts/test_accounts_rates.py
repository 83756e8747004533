"""Token buckets."""

from kepgw.accounts.rates import UNBOUNDED, Buckets, Rate


def test_a_burst_then_the_rate():
    buckets = Buckets(Rate(6, 60.0))
    for _ in range(6):
        assert buckets.wait("ali", 0.0) == 0
        buckets.take("ali", 0.0)
    assert buckets.wait("ali", 0.0) == 10.0
    assert buckets.wait("ali", 4.0) == 6.0
    assert buckets.wait("ali", 10.0) == 0
    assert buckets.wait("veli", 0.0) == 0


def test_several_at_once():
    buckets = Buckets(Rate(10, 100.0))
    assert buckets.wait("ali", 0.0, 10) == 0
    assert buckets.wait("ali", 0.0, 5000) == 0  # more than the bucket holds: when it is full
    buckets.take("ali", 0.0, 5000)
    assert buckets.wait("ali", 0.0) == 110.0  # what is owed is bounded too
    assert buckets.wait("ali", 110.0) == 0


def test_it_never_fills_beyond_the_brim():
    buckets = Buckets(Rate(2, 10.0))
    buckets.take("ali", 0.0)
    buckets.take("ali", 1e9)
    buckets.take("ali", 1e9)
    assert buckets.wait("ali", 1e9) == 5.0


def test_no_bound():
    buckets = Buckets(UNBOUNDED)
    for _ in range(1000):
        buckets.take("ali", 0.0, 100)
    assert buckets.wait("ali", 0.0) == 0
    assert not buckets._left


def test_memory_has_a_bound():
    buckets = Buckets(Rate(2, 10.0), entries=100)
    for number in range(1000):
        buckets.take(str(number), 0.0)
        assert len(buckets._left) <= 100
    for number in range(1000):
        buckets.take(f"b{number}", 1000.0)  # the earlier ones are full again and go first
    assert len(buckets._left) <= 100
    assert buckets.wait("b999", 1000.0, 2) == 5.0
