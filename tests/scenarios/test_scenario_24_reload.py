"""24 Settings and the TLS certificate change under a running provider; who is connected stays connected."""

import signal
import ssl
import time

import pytest
from laboratory import DEADLINE, compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts

from kepgw.trust import devpki


def certificate(node):
    return ssl.get_server_certificate(("127.0.0.1", node.base + 993)).strip()


def recipients(client, world):
    client.mail(world.ali)
    return [client.rcpt(address)[0] for address in (world.veli, world.ali)]


def test_reload(world, tmp_path):
    here = world.here
    before = certificate(here)
    with here.imap(world.ali) as reader, here.smtp(world.ali) as old:
        reader.select("INBOX")
        here.configure(limits__recipients=1, log__level="debug", listen__http=1)
        devpki.create(tmp_path, "hs90.kep.tr", "kep@hs90.kep.tr", ["localhost", "127.0.0.1"])
        for name in ("tls.pem", "tls.key"):
            (here.folder / "keys" / name).write_bytes((tmp_path / "keys" / name).read_bytes())
        found = here.json("reload")
        assert found == {"changed": ["limits.recipients", "log.level"], "restart": ["listen.http"]}
        after = certificate(here)
        assert after != before
        assert after in (tmp_path / "keys" / "tls.pem").read_text()
        # a session that was open keeps its bounds and its connection, a new one has the new ones
        assert recipients(old, world) == [250, 250]
        with here.smtp(world.ali) as new:
            assert recipients(new, world) == [250, 452]
        reader.select("INBOX")
        # what is wrong changes nothing
        text = (here.folder / "kepgw.toml").read_text()
        (here.folder / "kepgw.toml").write_text(text.replace("[limits]", "[limits]\nnonsense = 1"))
        with pytest.raises(RuntimeError, match="nonsense"):
            here.cli("reload")
        (here.folder / "kepgw.toml").write_text(text)
        good = (here.folder / "keys" / "tls.key").read_text()
        (here.folder / "keys" / "tls.key").write_text("no key")
        with pytest.raises(RuntimeError, match="unusable for TLS"):
            here.cli("reload")
        (here.folder / "keys" / "tls.key").write_text(good)
        assert certificate(here) == after
    # the signal does the same
    here.configure(limits__recipients=2)
    here.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + DEADLINE
    codes = []
    while codes != [250, 250] and time.monotonic() < until:
        with here.smtp(world.ali) as new:
            codes = recipients(new, world)
    assert codes == [250, 250]
    # peers pin the certificate of the card: they get a new one
    world.there.peer_with(here)
    message = compose(world.ali, [world.veli], "Hâlâ", "Çalışıyor.\n")
    here.send(message, world.ali, [world.veli])
    about = message["Message-ID"]
    assert receipts(here, world.ali, 3, world.judges, about) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
