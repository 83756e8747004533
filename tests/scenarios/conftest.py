"""Two providers in processes of their own, and a clean-up that shows their logs when a scenario fails."""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from laboratory import Judges, Node, compose, tools_missing
from scripted import ScriptedPeer
from witness import Witness, rest


@pytest.fixture(scope="session", autouse=True)
def _judges_are_there() -> None:
    assert not tools_missing(), f"install {tools_missing()}: scenarios are judged by them"


class World:
    """A pair of providers that know each other."""

    def __init__(self, folder: Path) -> None:
        self.here = Node(folder / "hs90", "hs90.kep.tr").init()
        self.there = Node(folder / "hs91", "hs91.kep.tr").init()
        self.ali = self.here.account("ali", "Ali Yılmaz")
        self.veli = self.there.account("veli", "Veli Öztürk")
        self.here.peer_with(self.there)
        self.there.peer_with(self.here)
        for node in (self.here, self.there):
            # the waits of a real network are not what a scenario is about
            node.configure(relay__retry_first=1, relay__retry_max=2)
        self.nodes = [self.here, self.there]
        self.judges = Judges([node.folder / "keys" / "root.pem" for node in self.nodes])
        self.witnessed: tuple[int, ...] | None = None
        self.unwitnessed = ""
        self.told: dict[str, Any] = {}  # what the witness at the end must know
        self.expected: dict[tuple[str, str], str] = {}  # states that the witness must find, by Message-ID and address

    def start(self) -> "World":
        """All serve."""
        for node in self.nodes:
            node.start()
        return self

    def witness(self, *, absent: Collection[str] = (), **told: Any) -> dict[tuple[str, str], str]:
        """Wait until nothing is under way but to ``absent`` providers, and let the witness look (see ``Witness``)."""
        rest(self.nodes, absent=absent)
        witness = Witness(self.nodes, **told)
        states = witness.hold(witness.boxes())
        for key, state in self.expected.items():
            assert states.get(key) == state, f"{key} is {states.get(key)}, not {state}"
        self.witnessed = self._submissions()
        return states

    def send(self, *recipients: str, subject: str = "Senaryo") -> str:
        """A message of ali's; its Message-ID."""
        message = compose(self.ali, recipients, subject, "Merhaba.\n")
        assert self.here.send(message, self.ali, recipients) == {}
        return str(message["Message-ID"])

    def no_witness(self, why: str) -> None:
        """The scenario leaves nothing behind that could be looked at."""
        self.unwitnessed = why

    def end(self, *, failed: bool = False) -> None:
        """The witness has the last word, unless it had it; then all processes end."""
        try:
            if not failed and not self.unwitnessed and self.witnessed != self._submissions():
                self.witness(**self.told)
        finally:
            for node in self.nodes:
                if node.process is not None:
                    node.kill()

    def _submissions(self) -> tuple[int, ...]:
        return tuple(len(node.replies) for node in self.nodes)


class Later(Judges):
    """Judges that hear everything once, at the end."""

    def __init__(self, anchors: Iterable[Path]) -> None:
        super().__init__(anchors)
        self._kept: dict[bytes, None] = {}

    def messages(self, mails: Iterable[bytes]) -> None:
        """Keep them."""
        self._kept |= dict.fromkeys(mails)

    def end(self) -> None:
        """Judge all."""
        super().messages(self._kept)


class Half(World):
    """One provider, and a peer that follows a script."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.nodes = [self.here]
        self.judges = Later(self.judges.anchors)
        self.peer = ScriptedPeer(self.there)

    def windows(self, **seconds: float) -> None:
        """Other windows for what begins from now on."""
        self.here.configure(**{f"relay__{name}": value for name, value in seconds.items()})
        if self.here.process is not None:
            self.here.asked("reload")

    def end(self, *, failed: bool = False) -> None:
        """As of every world; the peer goes last."""
        try:
            super().end(failed=failed)
            self.judges.end()
        finally:
            self.peer.close()


@pytest.fixture
def make_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], World]]:
    """Worlds that end with the test."""
    made: list[World] = []

    def make() -> World:
        made.append(World(tmp_path / str(len(made))))
        return made[-1]

    yield make
    failed = request.node.stash.get(FAILED, False)
    try:
        for world in made:
            world.end(failed=failed)
    finally:
        for node in (node for world in made for node in world.nodes):
            if node.process is not None:
                node.kill()
            if failed and (node.folder / "log").exists():
                print(f"-- {node.domain}\n{node.log()}")


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Remember that a test failed, for the clean-up."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    """A running pair."""
    return make_world().start()


@pytest.fixture(scope="module")
def module_world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    """A running pair for scenarios that leave each other alone."""
    before = request.session.testsfailed
    world = World(tmp_path_factory.mktemp("world")).start()
    yield world
    world.end(failed=request.session.testsfailed > before)


@pytest.fixture(scope="module")
def half_world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Half]:
    """A running provider with a scripted peer, for scenarios that leave each other alone."""
    before = request.session.testsfailed
    half = Half(tmp_path_factory.mktemp("half"))
    half.start()
    yield half
    half.end(failed=request.session.testsfailed > before)
