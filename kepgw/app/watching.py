"""Desks and clients that count what passes through them and change nothing."""

from collections.abc import Awaitable
from typing import TypeVar

from kepgw.app.metrics import Metrics
from kepgw.interop.desk import (
    Outcome,
    Outgoing,
    RelayClient,
    RelayDesk,
    Relayed,
    RelayProblem,
    Route,
    Submission,
    SubmissionDesk,
)
from kepgw.refusals import Refusal
from kepgw.store.accounts import Operator

T = TypeVar("T")


class _Door:
    """Counts what comes of each question at one door."""

    def __init__(self, metrics: Metrics, door: str) -> None:
        self._metrics = metrics
        self._door = door

    async def _watched(self, asked: Awaitable[T]) -> T:
        try:
            return await asked
        except Refusal as refusal:
            self._metrics.refused.labels(self._door, refusal.key).inc()
            raise

    async def _taken(self, asked: Awaitable[T]) -> T:
        answer = await self._watched(asked)
        self._metrics.accepted.labels(self._door).inc()
        return answer

    def _ready(self, desk: SubmissionDesk | RelayDesk) -> None:
        try:
            desk.ready()
        except Refusal as refusal:
            self._metrics.refused.labels(self._door, refusal.key).inc()
            raise


class WatchedSubmission(_Door):
    """A ``SubmissionDesk`` around another."""

    def __init__(self, desk: SubmissionDesk, metrics: Metrics) -> None:
        super().__init__(metrics, "submission")
        self._desk = desk

    def ready(self) -> None:
        """As the desk."""
        self._ready(self._desk)

    async def sender(self, operator: Operator, address: str) -> None:
        """As the desk."""
        await self._watched(self._desk.sender(operator, address))

    async def recipient(self, operator: Operator, address: str, remote: str) -> str:
        """As the desk."""
        return await self._watched(self._desk.recipient(operator, address, remote))

    async def submit(self, submission: Submission) -> str:
        """As the desk."""
        return await self._taken(self._desk.submit(submission))


class WatchedRelay(_Door):
    """A ``RelayDesk`` around another."""

    def __init__(self, desk: RelayDesk, metrics: Metrics) -> None:
        super().__init__(metrics, "relay")
        self._desk = desk

    def ready(self) -> None:
        """As the desk."""
        self._ready(self._desk)

    async def sender(self, address: str, certificate: bytes | None) -> None:
        """As the desk."""
        await self._watched(self._desk.sender(address, certificate))

    async def recipient(self, sender: str, address: str) -> str:
        """As the desk."""
        return await self._watched(self._desk.recipient(sender, address))

    async def receive(self, relayed: Relayed) -> str:
        """As the desk."""
        return await self._taken(self._desk.receive(relayed))


class WatchedClient:
    """A ``RelayClient`` around another."""

    def __init__(self, client: RelayClient, metrics: Metrics) -> None:
        self._client = client
        self._metrics = metrics

    async def send(self, route: Route, outgoing: Outgoing) -> Outcome:
        """As the client."""
        told = "broken"
        try:
            outcome = await self._client.send(route, outgoing)
            told = "partly" if outcome.refused else "taken"
        except RelayProblem as problem:
            told = "refused" if problem.permanent else f"no-{problem.stage}"
            raise
        finally:
            self._metrics.relays.labels(route.provider, told).inc()
        return outcome

    async def close(self) -> None:
        """As the client."""
        await self._client.close()
