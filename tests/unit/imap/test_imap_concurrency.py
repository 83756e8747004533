"""Sessions side by side: what each was told adds up to what is there."""

import asyncio
import random
import re

import pytest


class Mirror:
    """What a client believes, from untagged responses alone."""

    def __init__(self, client):
        self.client = client
        self.count = 0
        self.flags = {}  # by UID

    async def run(self, command):
        lines = await self.client.run(command)
        assert lines[-1].split(b" ")[1] == b"OK", lines
        quiet = command.split(b" ")[0] in {b"FETCH", b"STORE", b"SEARCH"}
        for line in lines[:-1]:
            if match := re.match(rb"\* (\d+) EXISTS", line):
                assert int(match[1]) >= self.count
                self.count = int(match[1])
            elif match := re.match(rb"\* (\d+) EXPUNGE", line):
                assert not quiet  # RFC 3501 7.4.1
                assert 0 < int(match[1]) <= self.count
                self.count -= 1
            elif match := re.match(rb"\* (\d+) FETCH \((?:UID (\d+) )?FLAGS \((.*?)\)", line):
                assert 0 < int(match[1]) <= self.count
                if match[2]:
                    self.flags[int(match[2])] = set(match[3].split()) - {b"\\Recent"}
        return lines


@pytest.mark.parametrize("seed", range(4))
async def test_sessions_converge(served, seed):
    rng = random.Random(seed)
    mirrors = []
    for _ in range(3):
        mirrors.append(Mirror(await served.client()))
        await mirrors[-1].run(b"SELECT INBOX")
    for _ in range(60):
        mirror = rng.choice(mirrors)
        number = rng.randint(1, max(mirror.count, 1))
        command = rng.choice(
            [
                b"NOOP",
                b"UID FETCH 1:* FLAGS",
                b"FETCH 1:* UID",
                b"SEARCH UNSEEN",
                b"UID STORE 1:* +FLAGS.SILENT (k%d)" % rng.randint(1, 5),
                *[b"STORE %d %bFLAGS (\\Flagged x)" % (number, rng.choice([b"+", b"-", b""]))] * 3,
                b"STORE %d +FLAGS.SILENT (\\Deleted)" % number,
                b"EXPUNGE",
                b"COPY %d INBOX" % number,
                b"deliver",
                b"deliver",
            ]
        )
        if command == b"deliver":
            await served.deliver()
        elif mirror.count or b" %d " % number not in command:
            await mirror.run(command)
    truth = await served.store.read(
        lambda tx: tx.rows(
            "SELECT uid, flags FROM mail WHERE mailbox IN (SELECT id FROM mailbox WHERE name = 'INBOX') ORDER BY uid"
        )
    )
    for mirror in mirrors:
        await mirror.run(b"NOOP")
        await mirror.run(b"NOOP")
        assert mirror.count == len(truth)
        await mirror.run(b"UID FETCH 1:* FLAGS")
        shown = {uid: mirror.flags[uid] for uid, _ in truth}
        assert shown == {uid: set(flags.encode().split()) for uid, flags in truth}


async def test_flags_are_told_without_asking(served):
    await served.deliver()
    one, other = (
        Mirror(await served.client()),
        Mirror(await served.client()),
    )
    for mirror in (one, other):
        await mirror.run(b"SELECT INBOX")
    await one.run(b"UID STORE 1 +FLAGS.SILENT (a)")
    await other.run(b"UID STORE 1 +FLAGS.SILENT (b)")  # hears of a, which it did not know
    assert other.flags[1] == {b"a", b"b"}
    await one.run(b"NOOP")
    assert one.flags[1] == {b"a", b"b"}


async def test_recent_belongs_to_one_session(served):
    await served.deliver()
    clients = [await served.client() for _ in range(2)]
    lines = [b"".join(await client.ok(b"SELECT INBOX")) for client in clients]
    assert [b"* 1 RECENT" in each for each in lines] == [True, False]
    await served.deliver()
    for client in clients:
        client.send(b"n NOOP\r\n")
    told = [b"".join(await client.until(b"n")) for client in clients]
    assert sum(b"FETCH" not in each and b" 2 EXISTS" in each for each in told) == 2
    assert sorted(int(re.search(rb"\* (\d) RECENT", each)[1]) for each in told) in ([0, 2], [1, 1])


async def test_a_deleted_mailbox_ends_the_sessions_in_it(served):
    one, other = await served.client(), await served.client()
    await one.ok(b"CREATE x")
    await other.ok(b"SELECT x")
    await one.ok(b"DELETE x")
    assert await other.run(b"NOOP") == [b"* BYE The selected mailbox was deleted\r\n", b""]


async def test_a_delivery_reaches_many_in_idle(served):
    clients = [await served.client() for _ in range(20)]
    for client in clients:
        await client.ok(b"SELECT INBOX")
        client.send(b"i IDLE\r\n")
        await client.line()
    started = asyncio.get_running_loop().time()
    await served.deliver()
    for client in clients:
        assert await client.line() == b"* 1 EXISTS\r\n"
    assert asyncio.get_running_loop().time() - started < 1
