"""A megabyte of garbage of any shape: every reader reads or refuses it in 2 s of CPU and 200 MiB."""

from functools import partial

import pytest
from fuzz_garbage import GARBAGE, work
from fuzz_limits import cost

SECONDS = 2
MEBIBYTES = 200


@pytest.mark.parametrize("name", GARBAGE)
def test_a_megabyte_of_garbage_takes_bounded_time_and_memory(name):
    costs = cost(partial(work, name))
    assert set(costs) == set(name.partition(":")[0].split())
    for reader, one in costs.items():
        assert not one.error, (reader, one)
        assert one.seconds < SECONDS, (reader, one)
        assert one.mebibytes < MEBIBYTES, (reader, one)


def hoard():
    return bytearray(300 << 20)


def one(works):
    return works


def test_the_measure_itself():
    # what is too slow, too large or broken is seen as such
    costs = cost(partial(one, {"large": hoard, "broken": partial(int, "x"), "good": dict}))
    assert costs["large"].mebibytes > 200
    assert costs["broken"].error.startswith("ValueError")
    assert costs["good"].error == ""
    assert costs["good"].mebibytes < 200
    assert costs["good"].seconds < 2
