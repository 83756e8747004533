"""``GET /health``: whether the provider takes messages now, for a supervisor or a load balancer.

The answer is public: ``status`` gives nothing that an outsider may not know. ``GET /metrics`` is not: it names
peers and how much is sent, and is answered to the networks of the configuration only.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kepgw.errors import ConfigurationError

_log = logging.getLogger("kepgw.health")


class _Server(uvicorn.Server):
    """Signals belong to the provider, and it wants to know when we listen."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave all signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


Page = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Takes an Accept header, gives content type and octets."""


class HealthServer:
    """Serves ``status()`` as JSON: 200 when its ``"status"`` is ``"ok"``, else 503. ``port`` 0: the system chooses.

    ``metrics`` is the page for Prometheus, served to ``clients`` only.
    """

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        host: str,
        port: int,
        metrics: Page | None = None,
        clients: Sequence[IPv4Network | IPv6Network] = (),
    ) -> None:
        self._status = status
        self._metrics = metrics
        self._clients = tuple(clients)
        self._host = host
        self.port = port
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen. Raises ConfigurationError when the port cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self.port))
            listener.listen(64)
        except OSError as error:
            listener.close()
            raise ConfigurationError(
                f"[listen] http: cannot listen on {self._host}:{self.port} ({error.strerror or error}); "
                "is another program on that port?"
            ) from error
        self.port = int(listener.getsockname()[1])
        routes = [Route("/health", self._health, methods=["GET"])]
        if self._metrics is not None:
            routes.append(Route("/metrics", self._page, methods=["GET"]))
        page = Starlette(routes=routes)
        page.router.redirect_slashes = False
        server = _Server(
            uvicorn.Config(
                page,
                log_config=None,
                access_log=False,
                log_level="warning",
                server_header=False,
                lifespan="off",
                ws="none",
                limit_concurrency=64,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
            )
        )
        self._server = server
        self._task = asyncio.create_task(server.serve([listener]), name="health")
        listening = asyncio.create_task(server.listening.wait())
        try:
            await asyncio.wait([self._task, listening], return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if self._task.done():
            listener.close()
            await self._task
            raise ConfigurationError("[listen] http: the health page could not be started; see the log")

    async def stop(self) -> None:
        """Stop listening; safe to call twice."""
        server, task = self._server, self._task
        self._server = self._task = None
        if server is not None and task is not None:
            server.should_exit = True
            await task

    async def _page(self, request: Request) -> Response:
        assert self._metrics is not None
        if not self._may_read(request.client.host if request.client else ""):
            return PlainTextResponse("not for you; see [metrics] clients\n", 403)
        try:
            kind, octets = await self._metrics(request.headers.get("Accept", "")[:1000])
        except Exception:
            _log.exception("the metrics cannot be told")
            return PlainTextResponse("the metrics cannot be told; see the log\n", 500)
        return Response(octets, headers={"Content-Type": kind, "Cache-Control": "no-store"})

    def _may_read(self, client: str) -> bool:
        try:
            address = ip_address(client.partition("%")[0])
        except ValueError:
            return False
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((mapped or address) in network for network in self._clients)

    async def _health(self, _request: Request) -> JSONResponse:
        try:
            status = self._status()
        except Exception:
            _log.exception("the status cannot be told")
            status = {"status": "failing"}
        good = status.get("status") == "ok"
        return JSONResponse(status, 200 if good else 503, headers={"Cache-Control": "no-store"})
