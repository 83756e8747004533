"""53 A peer's dispatches: in parts, twice, returned, with a wrong clock or digest, from one that ended."""

import smtplib
from datetime import UTC, datetime, timedelta

import pytest
from laboratory import compose
from scripted import relay
from story import UNREACHED, receipts
from witness import look


@pytest.fixture(scope="module")
def world(half_world):
    half_world.ayse = half_world.here.account("ayse", "Ayşe")
    half_world.bora = half_world.here.account("bora", "Bora")
    return half_world


def original(world, *recipients):
    lines = ["From: veli@hs91.kep.tr", f"To: {', '.join(recipients)}", "Message-ID: <betik@hs91.kep.tr>"]
    return "\r\n".join([*lines, "", "Merhaba.", ""]).encode()


def answers(peer, count):
    return sorted((each.code, tuple(each.addresses())) for each in (look(peer.next().octets) for _ in range(count)))


def copies(world, address, remmd):
    with world.here.imap(address) as reader:
        return sum(look(each).remmd == remmd for each in reader.all("INBOX"))


def test_in_parts_and_twice(world):
    """One RCPT today, the other tomorrow, both once more: one message, one copy and one answer each."""
    peer, ayse, bora = world.peer, world.ayse, world.bora
    peer.answer()
    dispatch = peer.dispatch("veli@hs91.kep.tr", [ayse, bora], original(world, ayse, bora))
    remmd = look(dispatch).remmd
    assert relay(world.here, peer.service_address, [ayse], dispatch)[0] == 250
    assert answers(peer, 2) == [(20, (ayse,)), (40, (ayse,))]
    assert relay(world.here, peer.service_address, [bora], dispatch)[0] == 250
    assert answers(peer, 2) == [(20, (bora,)), (40, (bora,))]
    for again in ([ayse], [bora], [ayse, bora]):
        assert relay(world.here, peer.service_address, again, dispatch)[0] == 250
    world.witness(**world.told)
    assert [copies(world, each, remmd) for each in (ayse, bora)] == [1, 1]
    assert peer.taken.empty(), "what comes twice is answered once"


def test_known_and_unknown_at_once(world):
    peer, ayse, nobody = world.peer, world.ayse, "yok@hs90.kep.tr"
    peer.answer()
    dispatch = peer.dispatch("veli@hs91.kep.tr", [ayse, nobody], original(world, ayse, nobody))
    assert relay(world.here, peer.service_address, [ayse, nobody], dispatch)[0] == 250
    assert answers(peer, 3) == [(20, (ayse,)), (21, (nobody,)), (40, (ayse,))]


def test_a_loop(world):
    """What we sent does not come in again, neither from the peer nor in our own name, nor does our receipt."""
    peer = world.peer
    peer.answer(mail=["550 5.7.1 no"])
    about = world.send("loop@hs91.kep.tr")
    assert sum(receipts(world.here, world.ali, 2, world.judges, about).values()) == 2
    world.expected[about, "loop@hs91.kep.tr"] = "unreached"
    peer.answer(end="554 5.4.6 loop")
    about = world.send("loop2@hs91.kep.tr")
    dispatch = peer.next().octets
    assert receipts(world.here, world.ali, 2, world.judges, about)[UNREACHED] == 1
    world.expected[about, "loop2@hs91.kep.tr"] = "unreached"
    code, text = relay(world.here, peer.service_address, [world.ayse], dispatch)
    assert (code, text[:5]) == (554, "5.7.7"), text
    code, text = relay(world.here, "kep@hs90.kep.tr", [world.ayse], dispatch)
    assert (code, text[:5]) == (550, "5.7.1"), text
    with world.here.imap(world.ali) as reader:
        (receipt,) = [each for each in reader.all("Deliller") if look(each).ua == about and look(each).code == 31]
    code, text = relay(world.here, peer.service_address, ["kep@hs90.kep.tr"], receipt)
    assert (code, text[:5]) == (554, "5.7.7"), text


@pytest.mark.parametrize(
    ("change", "reply"),
    [
        ({"t0": datetime.now(UTC) + timedelta(days=2)}, (554, "5.7.7")),
        ({"t0": datetime(2001, 1, 1, tzinfo=UTC)}, (554, "5.7.7")),
        ({"digest": bytes(32)}, (554, "5.7.7")),
        ({"t0": datetime.now(UTC) - timedelta(days=3)}, (250, "")),
        ({"t0": datetime.now(UTC) + timedelta(minutes=30)}, (250, "")),
    ],
)
def test_clock_and_digest(world, change, reply):
    peer = world.peer
    peer.answer()
    dispatch = peer.dispatch("veli@hs91.kep.tr", [world.ayse], original(world, world.ayse), **change)
    code, text = relay(world.here, peer.service_address, [world.ayse], dispatch)
    assert code == reply[0], text
    assert text.startswith(reply[1])
    if code == 250:
        assert answers(peer, 2) == [(20, (world.ayse,)), (40, (world.ayse,))]
    assert copies(world, world.ayse, look(dispatch).remmd) == (1 if code == 250 else 0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\r\n\r\nMerhaba.\r\n", b"\r\n\r\nMerhaba.\r\n\r\n"),  # another CRLF at the end
        (b"\r\n\r\nMerhaba.\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\nTWVyaGFiYS4NCg==\r\n"),
        (b"Message-ID: <betik@", b"Message-ID:  <betik@"),
    ],
)
def test_an_original_written_anew(world, old, new):
    peer = world.peer
    dispatch = peer.dispatch("veli@hs91.kep.tr", [world.ayse], original(world, world.ayse))
    changed = dispatch.replace(old, new)
    assert changed != dispatch
    code, text = relay(world.here, peer.service_address, [world.ayse], changed)
    assert (code, text[:5]) == (554, "5.7.7"), text


def test_a_provider_that_ended(world):
    """It gets nothing and says nothing, whatever its card; what waited for it ends by 31."""
    peer, here = world.peer, world.here
    providers = here.folder / "providers.toml"
    before = providers.read_text("utf-8")
    peer.answer(mail=["451 4.3.0 later"] * 100)
    world.windows(window=4)
    about = world.send("ended@hs91.kep.tr")
    receipts(here, world.ali, 1, world.judges, about)
    here.stop()
    providers.write_text(
        before
        + '\n[[provider]]\ndomain = "hs91.kep.tr"\nname = "hs91"\nstate = "ended"\nstarted = 2012\nended = 2026\n',
        "utf-8",
    )
    here.start()
    try:
        with here.smtp(world.ali) as client:
            client.mail(world.ali)
            code, text = client.rcpt("ended@hs91.kep.tr")
        assert (code, text[:5]) == (550, b"5.1.2")
        dispatch = peer.dispatch("veli@hs91.kep.tr", [world.ayse], original(world, world.ayse))
        code, reply = relay(here, peer.service_address, [world.ayse], dispatch)
        assert (code, reply[:5]) == (550, "5.7.1")
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            here.send(compose(world.ali, ["x@hs91.kep.tr"], "x", "x\n"), world.ali, ["x@hs91.kep.tr"])
        assert receipts(here, world.ali, 2, world.judges, about)[UNREACHED] == 1
    finally:
        here.stop()
        providers.write_text(before, "utf-8")
        world.windows(window=600)
        here.start()
    world.expected[about, "ended@hs91.kep.tr"] = "unreached"
