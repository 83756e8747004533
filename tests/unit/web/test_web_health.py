import asyncio
import socket
from ipaddress import ip_network

import httpx
import pytest

from kepgw.errors import ConfigurationError
from kepgw.web.health import HealthServer


@pytest.fixture
async def served():
    """The state that is told, and a client of the page that tells it."""
    state = {"status": "ok"}
    server = HealthServer(lambda: state, "127.0.0.1", 0)
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield state, client
    await server.stop()


async def test_well_is_200_and_anything_else_503(served):
    state, client = served
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert "server" not in answer.headers
    state |= {"status": "degraded", "problem": "signing-unavailable"}
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()["problem"]) == (503, "signing-unavailable")
    state.clear()
    assert (await client.get("/health")).status_code == 503


async def test_there_is_nothing_else(served):
    _, client = served
    assert (await client.head("/health")).status_code == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await client.request(method, "/health")).status_code == 405
    for path in ("/", "/health/", "/health/x", "/docs", "/openapi.json", "//health"):
        assert (await client.get(f"{client.base_url}".rstrip("/") + path)).status_code == 404, path


async def test_a_status_that_fails_is_503_without_its_reason(caplog):
    server = HealthServer(lambda: {}["the secret"], "127.0.0.1", 0)
    await server.start()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/health")
    await server.stop()
    assert (answer.status_code, answer.json()) == (503, {"status": "failing"})
    assert "the secret" in caplog.text


async def test_a_taken_port_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = HealthServer(dict, "127.0.0.1", other.getsockname()[1])
        with pytest.raises(ConfigurationError, match=r"\[listen\] http"):
            await server.start()
    await server.stop()


async def test_stop_closes_the_port_and_leaves_signals_alone():
    import signal

    before = signal.getsignal(signal.SIGTERM)
    server = HealthServer(lambda: {"status": "ok"}, "127.0.0.1", 0)
    await server.start()
    assert signal.getsignal(signal.SIGTERM) is before
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)  # a client that says nothing
    await server.stop()
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError):  # noqa: PT011  (refused or reset)
        await asyncio.open_connection("127.0.0.1", server.port)
    await server.stop()


async def test_garbage_is_not_served(served):
    _, client = served
    port = client.base_url.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01" + b"\0" * 70_000 + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b"200" not in answer[:20]
    assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("clients", "status"),
    [
        (("127.0.0.0/8", "::1/128"), 200),
        (("10.0.0.0/8",), 403),
        ((), 403),
    ],
)
async def test_metrics_are_for_the_networks_of_the_configuration(clients, status):
    async def page(accept):
        return "text/plain; version=0.0.4", f"kepgw_up 1 # {accept}\n".encode()

    server = HealthServer(lambda: {"status": "ok"}, "127.0.0.1", 0, page, [ip_network(each) for each in clients])
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        answer = await client.get("/metrics", headers={"Accept": "text/plain"})
        assert answer.status_code == status
        assert ("kepgw_up 1 # text/plain" in answer.text) == (status == 200)
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/metrics")).status_code == 405
    await server.stop()


async def test_metrics_that_fail_are_500_without_their_reason(caplog):
    async def page(_):
        raise ValueError("the secret")

    server = HealthServer(lambda: {"status": "ok"}, "127.0.0.1", 0, page, [ip_network("127.0.0.1/32")])
    await server.start()
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{server.port}/metrics")
    await server.stop()
    assert answer.status_code == 500
    assert "the secret" not in answer.text
    assert "the secret" in caplog.text
