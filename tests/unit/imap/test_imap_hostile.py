"""Clients that mean harm: bounded memory and time, right answers."""

import asyncio
import contextlib
import resource

import pytest
from imap_world import PASSWORD, USER

LOGIN = b'l LOGIN %b "%b"\r\n' % (USER.encode(), PASSWORD.encode())


async def test_what_was_sent_before_tls_is_dropped(served):
    client = await served.client(login=False, plain=True)
    # CVE-2011-0411: the LOGIN in the same packet must not count once TLS is there
    client.send(b"a STARTTLS\r\nb NOOP\r\n" + LOGIN)
    assert await client.line() == b"a OK Begin TLS negotiation now\r\n"
    await client.writer.start_tls(served.client_tls, server_hostname="localhost")
    assert await client.run(b"SELECT INBOX") == [b"t1 BAD This command is not possible now\r\n"]


@pytest.mark.parametrize(
    ("octets", "answer"),
    [
        (b"x" * 9000, b"* BYE The command is too long\r\n"),
        (b"a LOGIN {9999+}\r\n", b"* BYE [TOOBIG] The literal is larger than this server takes\r\n"),
        (b"a LOGIN {9999}\r\n", b"a BAD The command was not understood: the literal is too large\r\n"),
        (b"a APPEND INBOX {30000000+}\r\n", b"* BYE [TOOBIG] The literal is larger than this server takes\r\n"),
        (b"a LOGIN {99999999999999999999}\r\n", b"a BAD The command was not understood: the literal is too large\r\n"),
        (b"a LOGIN {3}\r\n\0\0\0 x\r\n", b"+ OK\r\n"),
        (b"\0\0\0\r\n", b"* BAD The command was not understood: expected a tag\r\n"),
        (b"a\xff NOOP\r\n", b"a BAD The command was not understood: expected a space\r\n"),
        (b'a LOGIN "x\0y" z\r\n', b"a BAD The command was not understood: expected a string\r\n"),
        (b"* OK\r\n", b"* BAD The command was not understood: expected a tag\r\n"),
        (b"a IDLE\r\n", b"a BAD This command is not possible now\r\n"),
        (b"a FETCH 1 FLAGS\r\n", b"a BAD This command is not possible now\r\n"),
    ],
)
async def test_before_login(served, octets, answer):
    client = await served.client(login=False)
    client.send(octets)
    assert await client.line() == answer


async def test_a_flood_of_literals_is_bounded_as_one_command(served):
    client = await served.client()
    for _ in range(60_000 // 1000):
        client.send(b"{1000+}\r\n" if _ else b"a LOGIN {1000+}\r\n")
        client.send(b"x" * 1000 + b" ")
    client.send(b"{9000+}\r\n")
    assert (await client.line()).startswith(b"* BYE [TOOBIG]")
    assert await client.ended() == b""


@pytest.mark.parametrize(
    "command",
    [
        b"SEARCH " + b"(" * 50_000,
        b"SEARCH " + b"NOT " * 15_000 + b"ALL",
        b"SEARCH " + b"OR " * 15_000 + b"ALL",
        b"FETCH 1 BODY[" + b"1." * 30_000 + b"1]",
        b"FETCH 1 (" + b"BODY[1] " * 8_000 + b")",
        b'LIST "" (' + b"* " * 30_000 + b"*)",
        b"STORE 1 +FLAGS (" + b"a" * 60_000 + b" " + b"b" * 1000 + b")",
    ],
)
async def test_deep_and_wide_commands(served, command):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    loop = asyncio.get_running_loop()
    started = loop.time()
    lines = await client.run(command)
    assert lines[-1].split(b" ")[1] in {b"BAD", b"NO"}
    assert loop.time() - started < 2
    await client.ok(b"NOOP")


async def test_overlapping_sets_give_every_message_once(served):
    for _ in range(3):
        await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    assert len(await client.ok(b"FETCH " + b",".join([b"1:*"] * 10_000) + b" UID")) == 3
    assert len(await client.ok(b"UID FETCH 1:4294967295 UID")) == 3


async def test_patterns_with_many_wildcards_take_no_time(served):
    client = await served.client()
    await client.ok(b"CREATE " + b"a" * 250)
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await client.ok(b'LIST "" ' + b"*a%a" * 40 + b"b") == []
    assert len(await client.ok(b'LIST "" ' + b"*a%" * 40)) == 1
    assert loop.time() - started < 1


async def test_bad_mailbox_names(served):
    client = await served.client()
    for name in (b'"a*b"', b'"a%b"', b'"/a"', b'"a//b"', b'""', b"x" * 300, b"/".join([b"x"] * 20), b'" a"', b"&AAo-"):
        assert b"[CANNOT]" in await client.no(b"CREATE " + name), name
    for name in (b"&AGE-", b"&AAo", b'"\xff"'):
        await client.no(b"CREATE " + name, b"BAD")
    await client.ok(b"CREATE ..")  # a name like any other: nothing here is a path
    await client.ok(b"CREATE inbox/x")
    assert b'"/" INBOX/x' in b"".join(await client.ok(b'LIST "" inbox/%'))


async def test_keywords_are_bounded(served):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    assert b"[LIMIT]" in await client.no(b"STORE 1 +FLAGS (" + b" ".join(b"k%d" % n for n in range(33)) + b")")
    assert b"[LIMIT]" in await client.no(b"STORE 1 +FLAGS (" + b"k" * 65 + b")")
    await client.ok(b"STORE 1 +FLAGS (" + b" ".join(b"k%d" % n for n in range(32)) + b")")
    await client.ok(b"STORE 1 +FLAGS (K1 k2)")  # known in another case


async def test_an_append_that_is_cut_leaves_nothing(served):
    client = await served.client()
    client.send(b"a APPEND Taslaklar {1000000+}\r\n" + b"x" * 400_000)
    await client.writer.drain()
    client.writer.transport.abort()
    await served.server.until(0)
    assert await served.store.read(lambda tx: tx.row("SELECT count(*) FROM blob")) == (0,)
    assert list(served.spool.glob("spool-*")) == []


async def test_nul_in_a_message_is_refused(served):
    client = await served.client()
    client.send(b"a APPEND Taslaklar {3+}\r\nx\0y\r\n")
    assert await client.line() == b"a NO [CANNOT] The message contains NUL octets\r\n"
    await client.ok(b"NOOP")


async def test_failed_logins_end_the_connection(world):
    await world.serve(auth_failures=3)
    client = await world.client(login=False)
    for _ in range(2):
        await client.no(b"LOGIN x y")
    client.send(b"a LOGIN x y\r\n")
    assert await client.line() == b"* BYE Too many failed logins\r\n"
    assert await client.ended() == b""


async def test_bad_commands_in_a_row_end_the_connection(world):
    await world.serve(bad_commands=3)
    client = await world.client(login=False)
    client.send(b"x\r\n" * 3)
    for _ in range(3):
        assert (await client.line()).startswith(b"x BAD")
    assert await client.line() == b"* BYE Too many bad commands\r\n"


async def test_silence_ends_the_connection(world):
    await world.serve(login_seconds=0.05)
    client = await world.client(login=False)
    assert await client.line() == b"* BYE Logged out: no complete command came for too long\r\n"


async def test_nothing_buys_time_before_login(world):
    await world.serve(login_seconds=0.3)
    client = await world.client(login=False)
    answer = asyncio.create_task(client.line())
    while not (await asyncio.wait([answer], timeout=0.01))[0]:
        client.send(b"x")
    assert answer.result() == b"* BYE Logged out: no complete command came for too long\r\n"
    client = await world.client(login=False)
    while (lines := await client.run(b"NOOP"))[-1].startswith(b"t"):
        pass
    assert lines[0].startswith(b"* BYE")


async def test_connections_of_one_address_are_capped(world):
    await world.serve(connections_per_address=3)
    clients = [await world.client(login=False) for _ in range(3)]
    with pytest.raises(ConnectionError):  # not even a handshake
        await world.client(login=False)
    await world.client(login=False, plain=True)
    assert world.greeting == b"* BYE [LIMIT] Too many connections; close some or try again later\r\n"
    await clients[0].run(b"LOGOUT")
    assert await clients[0].ended() == b""
    await world.server.until(2)
    await world.client(login=False)
    assert world.greeting.startswith(b"* OK")


async def test_stopping_says_bye(served):
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    client.send(b"x IDLE\r\n")
    await client.line()
    await served.server.stop(5)
    assert await client.ended() == b"* BYE The server is shutting down; connect again in a moment\r\n"


async def test_a_large_message_goes_out_in_pieces(served):
    size = 20_000_000
    octets = b"Subject: large\r\n\r\n" + b"0123456789abcdef" * (size // 16)
    await served.deliver(octets, kind="mail")
    del octets
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.send(b"f FETCH 1 BODY[]\r\n")
    assert await client.line_start() == b"* 1 FETCH (BODY[] {%d}\r\n" % (size + 18)
    left = size + 18
    while left:  # slower than the server would like
        left -= len(await client.reader.read(min(left, 65536)))
    assert (await client.until(b"f"))[-1].startswith(b"f OK")
    # kilobytes; the client's own reader may hold some of it
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < size / 1024 / 2


async def test_a_client_that_reads_nothing_holds_up_nobody(served):
    await served.deliver(b"Subject: large\r\n\r\n" + b"x" * 5_000_000, kind="mail")
    stuck = await served.client()
    await stuck.ok(b"SELECT INBOX")
    stuck.send(b"f FETCH 1 BODY[]\r\n" * 20)
    other = await served.client()
    await other.ok(b"SELECT INBOX")
    for _ in range(50):
        await other.ok(b"NOOP")


async def test_messages_that_are_all_header_are_read_one_by_one(served, monkeypatch):
    monkeypatch.setattr("kepgw.imap.fetch.RENDERED", 1_000)
    monkeypatch.setattr("kepgw.imap.search.RENDERED", 1_000)
    for _ in range(5):
        await served.deliver(b"Subject: " + b"x" * 900 + b"\r\n\r\n", kind="mail")
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    lines = await client.ok(b"FETCH 1:* BODY[HEADER]")
    assert [b"FLAGS (\\Seen \\Recent)" in line for line in lines] == [True] * 5
    assert await client.ok(b"SEARCH SUBJECT xxx") == [b"* SEARCH 1 2 3 4 5\r\n"]


async def test_a_header_without_end_is_not_taken(served):
    client = await served.client()
    client.send(b"a APPEND Taslaklar {1100000+}\r\n" + b"x: y\r\n" * 183_333 + b"z:" + b"\r\n")
    assert await client.line() == b"a NO [LIMIT] The header of the message is too long\r\n"


async def test_a_client_that_never_shakes_hands_is_left(world):
    await world.serve(handshake_seconds=0.05)
    reader, _ = await asyncio.open_connection("127.0.0.1", world.port)
    assert await reader.read() == b""
    await world.server.until(0)


async def test_speaking_without_tls_to_the_tls_port(served):
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"a LOGIN x y\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"OK" not in await reader.read()
    await served.server.until(0)


async def test_headers_asked_for_many_times_over_are_bounded(served):
    inner = b"".join(b"X: " + b"x" * 900 + b"\r\n" for _ in range(4000))
    for _ in range(8):
        await served.deliver(b"Content-Type: message/rfc822\r\n\r\n" + inner + b"\r\nbody\r\n")
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    items = b" ".join(b"BODY.PEEK[1.HEADER.FIELDS (X Y%d)]" % n for n in range(30))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.send(b"a FETCH 1:* (" + items + b")\r\n")
    size = 0
    numbers = set()
    while not (line := await client.line()).startswith(b"a "):
        size += len(line)
        numbers |= {line[:3]} if line.startswith(b"* ") else set()
    assert line.startswith(b"a OK")
    assert len(numbers) == 8, "every message is answered"
    assert size < 8 * 31 << 20, "a header has an end"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
