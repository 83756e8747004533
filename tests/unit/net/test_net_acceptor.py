"""Caps, rates and named proxies, over real sockets."""

import asyncio
import contextlib
import smtplib
import socket
from ipaddress import ip_network

import pytest
from net_house import ALI, PASSWORD, Front, client_context

from kepgw.accounts.rates import Rate
from kepgw.net.proxy import SIGNATURE
from kepgw.trust import devpki

HERE = (ip_network("127.0.0.1/32"),)
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 465\r\n"
V2 = SIGNATURE + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 8, 198, 51, 100, 1, 15, 160, 1, 209])


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", ["localhost", "127.0.0.1"], algorithm="p-256")
    return folder / "keys"


def behind(port, header, tls):
    """Send a message through ``header``; the server's greeting first."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(header)
    if tls:
        connection = client_context().wrap_socket(connection)
    client = smtplib.SMTP()
    client.sock, client._host = connection, "localhost"
    code, _ = client.getreply()
    assert code == 220
    if not tls:
        client.starttls(context=client_context())
    client.ehlo()
    client.user, client.password = ALI, PASSWORD
    client.auth("PLAIN", client.auth_plain)
    client.sendmail(ALI, ["veli@hs91.kep.tr"], "Subject: deneme\r\n\r\nbir\r\n")
    client.quit()


def first_octets(port, octets):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(octets)
        try:
            return connection.recv(100)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(("header", "address"), [(V1, "192.0.2.7"), (V2, "192.0.2.8")])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_named_proxy_tells_who_comes(tmp_path, pki, header, address, tls):
    async with Front(tmp_path, pki, proxies=HERE) as front:
        await asyncio.to_thread(behind, front.port["smtps" if tls else "smtp"], header, tls)
        assert front.taken[0][1] == address


@pytest.mark.parametrize("octets", [b"EHLO localhost\r\n" * 20, V1[:-1] + b"x" * 200, SIGNATURE + b"\x31\x11\x00\x0c"])
async def test_from_a_named_proxy_the_header_is_required(tmp_path, pki, octets):
    async with Front(tmp_path, pki, proxies=HERE) as front:
        assert await asyncio.to_thread(first_octets, front.port["smtp"], octets) == b""


async def test_from_anybody_else_a_header_is_only_a_bad_command(tmp_path, pki):
    async with Front(tmp_path, pki) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
        writer.write(V1)
        assert (await reader.readline()).startswith(b"220 ")
        assert (await reader.readline()).startswith(b"500 5.5.1 ")
        writer.close()


async def test_caps_count_the_clients_behind_a_proxy_one_by_one(tmp_path, pki):
    async with Front(tmp_path, pki, proxies=HERE, connections_per_address=1) as front:
        open_ = []

        async def greeting(header):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
            writer.write(header)
            open_.append(writer)
            return await reader.readline()

        assert (await greeting(V1)).startswith(b"220 ")
        assert (await greeting(V1)).startswith(b"421 4.7.0 ")
        assert (await greeting(V2)).startswith(b"220 ")
        for writer in open_:
            writer.close()


async def test_all_addresses_of_one_ipv6_network_share_a_cap(tmp_path, pki):
    async with Front(tmp_path, pki, proxies=HERE, connections_per_address=1) as front:
        greetings, open_ = [], []
        for client in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
            writer.write(f"PROXY TCP6 {client} 2001:db8::9 4000 587\r\n".encode())
            open_.append(writer)
            greetings.append((await reader.readline())[:3])
        assert greetings == [b"220", b"421", b"220"]
        for writer in open_:
            writer.close()


async def test_connections_that_come_too_fast(tmp_path, pki):
    async with Front(tmp_path, pki, arrivals=Rate(2, 3600.0)) as front:
        greetings = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
            greetings.append((await reader.readline())[:3])
            writer.close()
        assert greetings == [b"220", b"220", b"421"]


async def test_an_account_that_sends_too_much_hears_when_to_come_back(tmp_path, pki):
    def send(port):
        with smtplib.SMTP_SSL("127.0.0.1", port, context=client_context()) as client:
            client.login(ALI, PASSWORD)
            refused = client.sendmail(ALI, [f"r{n}@hs91.kep.tr" for n in range(4)], "Subject: bir\r\n\r\nbir\r\n")
            with pytest.raises(smtplib.SMTPSenderRefused) as caught:
                client.sendmail(ALI, ["veli@hs91.kep.tr"], "Subject: iki\r\n\r\niki\r\n")
            return refused, caught.value

    rates = {"messages": Rate(5, 3600.0), "account_recipients": Rate(3, 3600.0)}
    async with Front(tmp_path, pki, **rates) as front:
        refused, late = await asyncio.to_thread(send, front.port["smtps"])
        assert {code for code, _ in refused.values()} <= {451}
        assert late.smtp_code == 451
        assert b"try again in" in late.smtp_error
        assert len(front.taken) == 1


async def test_a_stop_ends_a_handshake_that_never_comes(tmp_path, pki):
    async with Front(tmp_path, pki) as front:
        silent, writer = await asyncio.open_connection("127.0.0.1", front.port["smtps"])
        other, second = await asyncio.open_connection("127.0.0.1", front.port["smtp"])
        assert (await other.readline()).startswith(b"220 ")
        second.close()
    assert front.smtp.connections == 0
    with contextlib.suppress(ConnectionResetError):
        assert await silent.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", front.port["smtps"])
