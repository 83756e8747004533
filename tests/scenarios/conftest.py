"""Two providers in processes of their own, and a clean-up that shows their logs when a scenario fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from laboratory import Judges, Node, tools_missing


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
        self.judges = Judges([node.folder / "keys" / "root.pem" for node in (self.here, self.there)])

    def start(self) -> "World":
        """Both serve."""
        self.here.start()
        self.there.start()
        return self


@pytest.fixture
def make_world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[[], World]]:
    """Worlds that end with the test."""
    made: list[World] = []

    def make() -> World:
        made.append(World(tmp_path / str(len(made))))
        return made[-1]

    yield make
    for world in made:
        for node in (world.here, world.there):
            if node.process is not None:
                node.kill()
            if request.node.stash.get(FAILED, False) and (node.folder / "log").exists():
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
def module_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running pair for scenarios that leave each other alone."""
    world = World(tmp_path_factory.mktemp("world")).start()
    yield world
    for node in (world.here, world.there):
        if node.process is not None:
            node.kill()
