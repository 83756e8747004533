"""The queue: lanes, due times, windows, and what an administrator sees and does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kepgw.store import tasks
from kepgw.store.engine import Change
from kepgw.store.tasks import SIGN, TIMER, Kind, Task

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def task(kind=Kind.RELAY, lane="hs91.kep.tr", due=0, **more):
    values = {"month": 202601, "message": 1, "dispatch": 2, "payload": {}, "created": AT} | more
    return Task(kind=kind, lane=lane, due=AT + due * MINUTE, **values)


@pytest.fixture
def put(store):
    def put(*given):
        store.write_now(lambda tx: [tasks.add(tx, each) for each in given])

    return put


def read(store, function, *arguments):
    return store.read_now(lambda tx: function(tx, *arguments))


def test_a_task_comes_back_as_it_went_in(store, put):
    given = task(payload={"ad": "Çağrı", "n": [1, None]}, deadline=AT + MINUTE, attempts=3, last_error="x", ordinal=4)
    put(given)
    (found,) = read(store, tasks.queue)
    assert replace(found, id=0) == given
    assert found.id > 0


def test_lanes_that_have_work_due(store, put):
    put(task(lane=SIGN, due=-1), task(lane=SIGN, due=5), task(lane="hs91.kep.tr", due=1), task(lane=TIMER, due=0))
    assert read(store, tasks.due_lanes, AT) == [SIGN, TIMER]
    assert read(store, tasks.due_lanes, AT - 2 * MINUTE) == []
    assert read(store, tasks.due_lanes, AT + MINUTE) == ["hs91.kep.tr", SIGN, TIMER]


def test_an_empty_queue(store):
    assert read(store, tasks.due_lanes, AT) == []
    assert read(store, tasks.next_due, AT) is None
    assert read(store, tasks.waiting) == 0
    assert read(store, tasks.queue) == []


def test_the_oldest_of_a_lane_come_first_and_never_more_than_asked(store, put):
    put(*(task(due=-n, message=n) for n in range(5)), task(lane="hs92.kep.tr", due=-9), task(due=1))
    assert [each.message for each in read(store, tasks.due_tasks, "hs91.kep.tr", AT, 3)] == [4, 3, 2]
    assert len(read(store, tasks.due_tasks, "hs91.kep.tr", AT, 99)) == 5


@pytest.mark.parametrize(("after", "found"), [(-3, -2), (-2, 4), (0, 4), (4, 7), (7, None)])
def test_when_the_next_falls_due(store, put, after, found):
    put(task(due=-2), task(lane=SIGN, due=7), task(lane=SIGN, due=4), task(lane=TIMER, due=-2))
    wanted = None if found is None else AT + found * MINUTE
    assert read(store, tasks.next_due, AT + after * MINUTE) == wanted


def test_postponing_counts_and_says_why(store, put):
    put(task())
    (before,) = read(store, tasks.queue)
    store.write_now(lambda tx: tasks.postpone(tx, before, AT + MINUTE, "x" * 600))
    (found,) = read(store, tasks.queue)
    assert (found.due, found.attempts, found.last_error) == (AT + MINUTE, 1, "x" * 500)


def test_only_one_finishes_a_task(store, put):
    put(task())
    (found,) = read(store, tasks.queue)
    assert store.write_now(lambda tx: (tasks.finish(tx, found), tasks.finish(tx, found))) == (True, False)
    assert store.write_now(lambda tx: tasks.postpone(tx, found, AT, "late")) is None
    assert read(store, tasks.queue) == []


def test_the_number_of_a_finished_task_is_never_given_again(store, put):
    put(task(message=1))
    (found,) = read(store, tasks.queue)
    store.write_now(lambda tx: tasks.finish(tx, found))
    put(task(message=2))
    assert not store.write_now(lambda tx: tasks.finish(tx, found))
    store.write_now(lambda tx: tasks.postpone(tx, found, AT + MINUTE, "stale"))
    (other,) = read(store, tasks.queue)
    assert (other.message, other.due, other.attempts) == (2, AT, 0)


def test_a_window_that_has_its_answer_ends_alone(store, put):
    window = task(Kind.ANSWER_WINDOW, TIMER, ordinal=1)
    others = [
        replace(window, ordinal=2),
        replace(window, kind=Kind.DELIVERY_WINDOW),
        replace(window, dispatch=3),
        replace(window, message=9),
        replace(window, month=202602),
    ]
    put(window, *others)
    store.write_now(lambda tx: tasks.end_windows(tx, Kind.ANSWER_WINDOW, 202601, 1, 2, 1))
    assert [replace(each, id=0) for each in read(store, tasks.queue)] == others


def test_retrying_now_moves_waiting_work_but_no_window(store, put):
    put(task(due=9, message=1), task(lane=SIGN, due=9, message=2), task(lane=TIMER, due=9, message=3), task(due=-1))
    assert store.write_now(lambda tx: tasks.retry_now(tx, AT)) == 2
    assert {each.message: each.due for each in read(store, tasks.queue)} == {1: AT, 2: AT, 3: AT + 9 * MINUTE} | {1: AT}


def test_retrying_one(store, put):
    put(task(due=9, message=1), task(due=9, message=2))
    chosen = next(each for each in read(store, tasks.queue) if each.message == 2)
    assert store.write_now(lambda tx: tasks.retry_now(tx, AT, chosen.id)) == 1
    assert [each.message for each in read(store, tasks.due_tasks, "hs91.kep.tr", AT, 9)] == [2]
    assert store.write_now(lambda tx: tasks.retry_now(tx, AT, 999)) == 0


def test_the_debt_is_what_waits_for_a_signature(store, put):
    put(task(lane=SIGN), task(lane=SIGN, due=9), task(lane=TIMER), task())
    assert read(store, tasks.waiting) == 2


async def test_new_work_is_announced(store):
    import asyncio

    heard = asyncio.Queue()
    store.subscribe(heard.put_nowait)
    await store.write(lambda tx: tasks.add(tx, task()))
    assert await heard.get() == Change("task", 0)


def test_the_look_for_lanes_walks_the_index_whatever_stands_in_it(store, put):
    plan = store.read_now(lambda tx: tx.rows("EXPLAIN QUERY PLAN " + tasks._LANE_DUE))
    assert not any("SCAN task" in row[-1] for row in plan), plan
