"""10 Certificates that do not hold: an expired process certificate signs nothing, a wrong pin gets nothing."""

import smtplib
from datetime import UTC, datetime, timedelta

import pytest
from laboratory import KEPGW, Node, compose, free_base, run
from story import ACCEPTED, DELIVERED, RELAYED, receipts

from kepgw.app.initialise import initialise


def test_expired_process_certificate(tmp_path):
    node = Node(tmp_path / "hs90", "hs90.kep.tr", free_base())
    long_ago = datetime.now(UTC) - timedelta(days=365 * 30)
    initialise(node.folder, node.domain, node.base, development=True, at=long_ago)
    ali, veli = node.account("ali"), node.account("veli")
    node.start()
    try:
        with node.smtp(ali) as client:
            code, text = client.mail(ali)
            assert (code, text[:5]) == (451, b"4.3.5"), "nothing is taken that would need a signature; the client waits"
        with pytest.raises(smtplib.SMTPException):
            node.send(compose(ali, [veli], "Olmaz", "İmzalanamaz.\n"), ali, [veli])
        assert "no process certificate is valid" in node.log()
    finally:
        node.stop()
    doctor = run(*KEPGW, "doctor", node.folder, check=False)
    assert doctor.returncode == 1
    assert b"process" in doctor.stdout
    assert b"expired" in doctor.stdout or b"ended" in doctor.stdout


def test_wrong_pin_gets_nothing(make_world):
    world = make_world()
    card = world.here.folder / "there.toml"
    card.write_bytes(world.there.cli("peer", "card"))
    stranger = Node(world.here.folder.parent / "hs92", "hs92.kep.tr").init()
    own = stranger.cli("peer", "card").decode()
    pinned = card.read_text("utf-8")
    # the right provider at the right place, but another server certificate than the one that is met
    card.write_text(pinned[: pinned.index("tls_certificate")] + own[own.index("tls_certificate") :], "utf-8")
    run(*KEPGW, "peer", "add", world.here.folder, card)
    world.start()
    message = compose(world.ali, [world.veli], "İğne", "Yanlış yere gitmez.\n")
    world.here.send(message, world.ali, [world.veli])
    receipts(world.here, world.ali, 1, world.judges)
    world.here.cli("queue", "retry")
    while not (waiting := [task for task in world.here.json("queue", "list") if task["last_error"]]):
        pass
    assert "tls" in waiting[0]["last_error"]
    with world.there.imap(world.veli) as reader:
        assert reader.select("INBOX") == 0
    world.here.peer_with(world.there)  # the right card, and the message goes out by itself
    world.here.cli("queue", "retry")
    assert receipts(world.here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
