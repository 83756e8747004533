"""The channel where a session cannot tell: what arrives at an awkward moment."""

import asyncio
import socket

import pytest

from kepgw.smtp.channel import Channel


@pytest.mark.parametrize("how", ["line", "some"])
async def test_octets_that_come_while_the_other_end_is_slow_to_take_ours_are_seen(how):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        for end in (ours, theirs):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        _, channel = await loop.connect_accepted_socket(Channel, ours)
        channel.write(b"x" * 500_000)
        channel.write(b"x")  # still to be flushed when the reading begins
        reading = asyncio.create_task(channel.line(512, 20.0) if how == "line" else channel.some(20.0))
        await asyncio.sleep(0.01)
        await loop.sock_sendall(theirs, b"NOOP\r\n")
        taken = 0
        await asyncio.sleep(0.01)
        while taken < 500_001:
            taken += len(await loop.sock_recv(theirs, 65536))
        assert await asyncio.wait_for(reading, 5) == b"NOOP\r\n"
        channel.abort()
