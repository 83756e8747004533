"""Reading a dispatch makes evidence, once, before an octet of it leaves (Tebliğ m.13; TS 102 640-2 Retrieval)."""

import pytest
from imap_world import PASSWORD, USER

from kepgw.accounts.rights import Right
from kepgw.errors import StoreFull

BODIES = [
    b"FETCH 1 BODY[]",
    b"FETCH 1 BODY[TEXT]",
    b"FETCH 1 BODY[1]",
    b"FETCH 1 BODY[2.1]",
    b"FETCH 1 BODY[2.TEXT]<0.1>",
    b"FETCH 1 RFC822",
    b"FETCH 1 RFC822.TEXT",
    b"UID FETCH 1 (FLAGS BODY[])",
]
HEADERS = [
    b"FETCH 1 BODY[HEADER]",
    b"FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
    b"FETCH 1 BODY[2.HEADER]",
    b"FETCH 1 BODY[1.MIME]",
    b"FETCH 1 RFC822.HEADER",
    b"FETCH 1 (ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE FLAGS)",
]


async def rights(world, value):
    def work(tx):
        tx.run("UPDATE operator SET rights = ? WHERE login = ?", int(value), USER)
        tx.announce("account", world.account)

    await world.store.write(work)


async def served_at(world):
    return (await world.store.read(lambda tx: tx.row("SELECT served FROM mail WHERE uid = 1")))[0]


@pytest.mark.parametrize("command", BODIES)
@pytest.mark.parametrize("how", [b"SELECT", b"EXAMINE"])
async def test_fetching_body_content_reads(served, command, how):
    await served.deliver()
    client = await served.client()
    await client.ok(how + b" INBOX")
    await client.ok(command)
    await client.ok(command)
    assert served.read == [(1, USER, (None,))]
    assert await served_at(served) is not None


@pytest.mark.parametrize("command", HEADERS)
async def test_fetching_headers_and_structure_does_not(served, command):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    await client.ok(command)
    await client.ok(b"STORE 1 +FLAGS (\\Seen)")  # nothing was served yet
    assert served.read == []
    assert await served_at(served) is None


async def test_peeking_serves_and_seen_after_it_reads(served):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    await client.ok(b"FETCH 1 BODY.PEEK[]")
    assert served.read == []
    assert await served_at(served) is not None
    await client.ok(b"STORE 1 -FLAGS (\\Seen)")
    assert served.read == []
    await client.ok(b"STORE 1 +FLAGS.SILENT (\\Seen)")
    assert [uid for uid, _, _ in served.read] == [1]


async def test_peeking_reads_where_every_fetch_counts(world):
    await world.serve(read_evidence="fetch")
    await world.deliver()
    client = await world.client()
    await client.ok(b"SELECT INBOX")
    await client.ok(b"FETCH 1 BODY.PEEK[HEADER]")
    assert world.read == []
    await client.ok(b"FETCH 1 BODY.PEEK[1]")
    assert world.read == [(1, USER, (None,))]


async def test_only_dispatches_are_read_with_evidence(served):
    await served.deliver(folder="Gönderilmiş", kind="original")
    client = await served.client()
    await client.ok(b"SELECT G&APY-nderilmi&AV8-")
    await client.ok(b"FETCH 1 BODY[]")
    assert served.read == []


async def test_a_copy_of_a_dispatch_is_read_like_it(served):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    await client.ok(b"COPY 1 &AMcA9g-p")
    await client.ok(b"SELECT &AMcA9g-p")
    await client.ok(b"FETCH 1 BODY[]")
    assert len(served.read) == 1


async def test_nothing_leaves_when_the_event_cannot_be_kept(served):
    async def full(mail, operator):
        raise StoreFull("no room")

    served.on_read = full
    await served.server.stop(1)
    await served.serve()
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    lines = await client.run(b"FETCH 1 BODY[]")
    assert lines == [b"t3 NO [UNAVAILABLE] The server has no room left; try again later\r\n"]
    assert await served_at(served) is None


@pytest.mark.parametrize("command", [*BODIES, b"SEARCH BODY x", b"SEARCH NOT (OR SEEN TEXT x)"])
async def test_without_the_right_no_body_is_given(served, command):
    await served.deliver()
    await rights(served, Right.SEND | Right.DELETE)
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    assert b"[NOPERM]" in await client.no(command)
    for allowed in HEADERS:
        await client.ok(allowed)
    await client.ok(b"STORE 1 +FLAGS (\\Seen)")
    assert served.read == []


async def test_without_the_right_nothing_is_deleted(served):
    await served.deliver(flags=["\\Deleted"])
    await rights(served, Right.READ)
    client = await served.client()
    lines = await client.ok(b"SELECT INBOX")
    assert b"* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Seen \\Draft \\*)] Flags\r\n" in lines
    for command in (b"STORE 1 +FLAGS (\\Deleted)", b"EXPUNGE", b"UID EXPUNGE 1", b"MOVE 1 Taslaklar", b"DELETE x"):
        assert b"[NOPERM]" in await client.no(command)
    await client.ok(b"CREATE Ar&AV8-iv/2026")
    for archive in (b"Ar&AV8-iv", b"Ar&AV8-iv/2026"):
        assert b"[NOPERM]" in await client.no(b"COPY 1 " + archive)
        assert b"[NOPERM]" in await client.no(b"APPEND " + archive + b" {3}")
    await client.ok(b"CLOSE")
    assert b"MESSAGES 1" in (await client.ok(b"STATUS INBOX (MESSAGES)"))[0]


async def test_a_right_taken_away_is_gone_at_once(served):
    await served.deliver()
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    await client.ok(b"FETCH 1 BODY[]")
    await rights(served, Right.SEND)
    assert b"[NOPERM]" in await client.no(b"FETCH 1 BODY[]")


async def test_a_disabled_account_is_sent_away_even_from_idle(served):
    client = await served.client()
    await client.ok(b"SELECT INBOX")
    client.send(b"x IDLE\r\n")
    assert await client.line() == b"+ idling\r\n"

    def work(tx):
        tx.run("UPDATE account SET state = 'disabled'")
        tx.announce("account", served.account)

    await served.store.write(work)
    assert await client.line() == b"* BYE [ALERT] The account has been disabled\r\n"
    assert await client.ended() == b""
    again = await served.client(login=False)
    assert b"AUTHENTICATIONFAILED" in await again.no(b'LOGIN %b "%b"' % (USER.encode(), PASSWORD.encode()))


async def test_a_forged_dispatch_cannot_be_put_among_the_delivered(served):
    client = await served.client()
    client.send(b"a APPEND Taslaklar {5+}\r\nA: b\n\r\n")
    assert b"a OK" in (await client.until(b"a"))[-1]
    await client.ok(b"SELECT Taslaklar")
    for folder in (b"INBOX", b"Deliller"):
        assert b"[CANNOT]" in await client.no(b"COPY 1 " + folder)
        assert b"[CANNOT]" in await client.no(b"MOVE 1 " + folder)


async def test_two_clients_that_read_at_once_both_wait_for_the_event(served):
    await served.deliver()
    clients = [await served.client() for _ in range(2)]
    for client in clients:
        await client.ok(b"SELECT INBOX")
        client.send(b"f FETCH 1 BODY[]\r\n")
    for client in clients:
        assert (await client.until(b"f"))[-1].startswith(b"f OK")
    # both say so, and whoever listens makes one evidence of it
    assert [uid for uid, _, _ in served.read] == [1, 1]
