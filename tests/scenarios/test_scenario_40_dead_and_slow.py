"""40 One peer is dead, one drips, one is well: the well one notices nothing, the dead one is not run down."""

import socket
import threading

from laboratory import Node, compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts

MANY = 15  # messages to each


class Port:
    """A port of a peer: counts connections, and closes each at once or keeps it with half a greeting."""

    def __init__(self, port, *, drips):
        self.connections = 0
        self.at_once = 0
        self._drips = drips
        self._kept = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            if self._drips:
                connection.sendall(b"22")
                self._kept.append(connection)
            else:
                connection.close()

    def close(self):
        self._listener.close()
        for each in self._kept:
            each.close()


def test_each_peer_for_itself(make_world, tmp_path):
    world = make_world()
    here = world.here
    here.configure(relay__retry_first=60, relay__retry_max=60)
    dead, slow = (Node(tmp_path / name, f"{name}.kep.tr").init() for name in ("hs92", "hs93"))
    for node in (dead, slow):
        here.peer_with(node)
    world.told = {"absent": {"hs92.kep.tr", "hs93.kep.tr"}, "waiting": {"can@hs92.kep.tr", "cem@hs93.kep.tr"}}
    ports = [Port(dead.base + 25, drips=False), Port(slow.base + 25, drips=True)]
    try:
        world.start()
        for number in range(MANY):
            for recipient in ("can@hs92.kep.tr", "cem@hs93.kep.tr", world.veli):
                here.send(compose(world.ali, [recipient], f"{number}", "Merhaba.\n"), world.ali, [recipient])
        found = receipts(here, world.ali, 3 * MANY + 2 * MANY, world.judges)
        assert found == {ACCEPTED: 3 * MANY, RELAYED: MANY, DELIVERED: MANY}
        left = [each for each in here.json("queue", "list") if each["kind"] == "relay"]
        lanes = [each["lane"] for each in left]
        assert (lanes.count("hs92.kep.tr"), lanes.count("hs93.kep.tr"), len(left)) == (MANY, MANY, 2 * MANY)
        refused, dripping = ports
        # those that began beside one another, and not one for each message
        assert 1 <= refused.connections <= 4
        assert 1 <= dripping.connections <= 4
    finally:
        for port in ports:
            port.close()
