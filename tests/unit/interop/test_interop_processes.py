"""The pool of processes: real ones, with a bench of the test's own."""

import asyncio
import os
import signal
import threading
import time

import pytest

from kepgw.errors import ConfigurationError, KepError, SigningUnavailable, StampUnavailable
from kepgw.interop.processes import Processes


class Awkward(Exception):
    """Pickled, and not unpickled."""

    def __init__(self, first, second):
        super().__init__(first)


class Bench:
    """Jobs of every kind."""

    def __init__(self, argument):
        if argument == "broken":
            raise ConfigurationError("no key")
        self.argument = argument

    def echo(self, value):
        return self.argument, os.getpid(), value

    def hear(self, what):
        self.news = what

    def heard(self):
        return getattr(self, "news", None), os.getpid()

    def refuse(self):
        raise StampUnavailable("nobody answers")

    def awkward(self, what):
        error = Awkward("a", "b")
        if what == "contents":
            error.lock = threading.Lock()
        raise error

    def wait(self, path):
        while not os.path.exists(path):
            time.sleep(0.005)
        return "waited"


@pytest.fixture
async def pool():
    processes = Processes(2, Bench, "a")
    await processes.start()
    yield processes
    await processes.close()


async def test_jobs_are_shared_and_answered_in_order(pool):
    large = b"x" * 3_000_000  # more than any socket buffer: both ends write at once
    answers = await asyncio.gather(*(pool.run("echo", (number, large)) for number in range(8)))
    assert [value for _, _, value in answers] == [(number, large) for number in range(8)]
    assert len({pid for _, pid, _ in answers}) == 2
    assert os.getpid() not in {pid for _, pid, _ in answers}


async def test_what_a_job_raises_is_raised_here_and_the_process_lives_on(pool):
    _, before, _ = await pool.run("echo", 1)
    with pytest.raises(StampUnavailable, match="nobody answers"):
        await pool.run("refuse")
    assert (await pool.run("echo", 2))[1] == before


async def test_a_bench_that_cannot_be_made_says_so():
    processes = Processes(2, Bench, "broken")
    with pytest.raises(ConfigurationError, match="no key"):
        await processes.start()
    await processes.close()


async def test_a_killed_process_fails_its_jobs_and_is_replaced(pool, tmp_path):
    waiting = [asyncio.create_task(pool.run("wait", str(tmp_path / "go"))) for _ in range(2)]
    await asyncio.sleep(0)
    pids = {each.process.pid for each in pool._processes}
    os.kill(min(pids), signal.SIGKILL)
    done, left = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    with pytest.raises(SigningUnavailable):
        done.pop().result()
    _, pid, _ = await pool.run("echo", 1)
    assert pid not in pids, "another process does the work"
    (tmp_path / "go").touch()
    assert await left.pop() == "waited"


async def test_close_lets_a_job_finish(tmp_path):
    processes = Processes(1, Bench, "a")
    await processes.start()
    job = asyncio.create_task(processes.run("wait", str(tmp_path / "go")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(processes.close())
    await asyncio.sleep(0)
    (tmp_path / "go").touch()
    assert await job == "waited"
    await closing
    with pytest.raises(SigningUnavailable):
        await processes.run("echo", 1)
    await processes.close()


async def test_an_exception_that_cannot_travel_fails_its_job_only(pool):
    _, before, _ = await pool.run("echo", 1)
    for what in ("arguments", "contents"):
        with pytest.raises(KepError, match="Awkward"):
            await asyncio.wait_for(pool.run("awkward", what), 5)
    assert (await pool.run("echo", 2))[1] == before


async def test_what_all_are_told_holds_for_the_next_job_and_for_processes_that_start_later(pool):
    pids = {each.process.pid for each in pool._processes}
    telling = asyncio.create_task(pool.tell("hear", "news"))
    await asyncio.sleep(0)
    heard = await asyncio.gather(*(pool.run("heard") for _ in range(8)))  # given while the telling is under way
    await telling
    assert {each for each, _ in heard} == {"news"}
    assert {pid for _, pid in heard} == pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    fresh = set()
    while not fresh:
        try:
            what, pid = await pool.run("heard")
        except SigningUnavailable:
            continue
        assert what == "news"
        fresh.add(pid)
    assert not fresh & pids


async def test_telling_what_a_process_cannot_do_says_so(pool):
    with pytest.raises(StampUnavailable):
        await pool.tell("refuse")


async def test_one_that_ends_while_another_is_started_is_given_nothing(pool):
    first, second = pool._processes
    os.kill(first.process.pid, signal.SIGKILL)
    await asyncio.wait([first._answers])
    opened = pool._open

    async def open_late():
        if second.alive:
            os.kill(second.process.pid, signal.SIGKILL)
            await asyncio.wait([second._answers])
        return await opened()

    pool._open = open_late
    _, pid, value = await asyncio.wait_for(pool.run("echo", 1), 30)
    assert value == 1
    assert pid not in {first.process.pid, second.process.pid}
