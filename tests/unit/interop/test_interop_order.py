"""What happened later is told later: the receipts about one recipient reach the sender's provider in their order."""

import re

import pytest
from interop_house import HS91, RelayProblem, case, original, sealed

from kepgw.evidence.model import Entity
from kepgw.interop.work import order_of
from kepgw.store.reading import MailRow
from kepgw.store.tasks import AWAITING_EARLIER, Kind, hold, release

AYSE, CAN = "ayse@hs90.kep.tr", "can@hs90.kep.tr"
RELAYED, DELIVERED, READ = "RelayREMMDAcceptanceRejection", "DeliveryNonDeliveryToRecipient", "RetrievalNonRetrieval"


@pytest.fixture
async def received(house, bench):
    """A dispatch from hs91 in the mailboxes of ayse and can; nothing answered yet."""
    for address in (AYSE, CAN):
        house.account(address)
    octets = original("ali@hs91.kep.tr", [AYSE, CAN])
    both = case(octets, recipients=(Entity(AYSE), Entity(CAN)), to=f"{AYSE}, {CAN}")
    await house.receive(sealed(bench, both, octets), AYSE, CAN)
    return house


def sent(house):
    """The kinds of the receipts that were given to the peer, in their order."""
    kinds = [re.search(rb"(?mi)^X-REM-EvidenceType: (\w+)", octets)[1].decode() for _, _, octets in house.client.sent]
    return [READ if kind.startswith(READ) else kind for kind in kinds]


async def make(house, *codes):
    """Make the evidence of these codes, in this order."""
    for code in codes:
        for task in house.tasks(Kind.EVIDENCE):
            if order_of(task.payload).code == code:
                await house.duties.evidence(task)


def later(problem="451 4.3.0 later", permanent=False):
    return RelayProblem(problem, permanent=permanent, stage="mail")


async def test_a_delivery_made_before_the_relay_waits_for_it(received):
    await make(received, 40)
    await received.work(Kind.RECEIPT)
    assert sent(received) == []
    assert {each.last_error for each in received.tasks(Kind.RECEIPT)} == {AWAITING_EARLIER}
    await make(received, 20)
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED, DELIVERED, DELIVERED], "and then at once"
    assert received.tasks() == []


async def test_while_the_first_is_tried_again_the_next_waits(received):
    await received.work(Kind.EVIDENCE)
    received.client.answers = [later() for _ in range(3)]
    for _ in range(3):
        await received.work(Kind.RECEIPT)
        received.clock.go(hours=1)
    assert sent(received) == [RELAYED] * 3
    waiting = [each for each in received.tasks(Kind.RECEIPT) if each.last_error == AWAITING_EARLIER]
    assert [each.attempts for each in waiting] == [0, 0], "to wait is no attempt"
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED] * 4 + [DELIVERED] * 2


async def test_one_that_is_refused_for_good_holds_up_nobody(received):
    await received.work(Kind.EVIDENCE)
    received.client.answers = [later("554 5.7.1 never", permanent=True)]
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED, DELIVERED, DELIVERED]
    (left,) = received.tasks(Kind.RECEIPT)
    assert left.last_error == "refused: mail: 554 5.7.1 never"
    received.clock.go(hours=1)
    await received.work(Kind.RECEIPT)
    assert received.tasks() == []


async def test_a_held_one_holds_the_next(received):
    await received.work(Kind.EVIDENCE)
    first = next(each for each in received.tasks(Kind.RECEIPT) if each.payload["code"] == 20)
    await received.store.write(lambda tx: hold(tx, first, "Bakım"))
    await received.work(Kind.RECEIPT)
    received.clock.go(hours=1)
    assert sent(received) == []
    await received.store.write(lambda tx: release(tx, first, received.clock()))
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED, DELIVERED, DELIVERED]


async def test_reading_is_told_after_the_delivery_of_the_same_recipient_only(received):
    """Both 40 wait for the peer; the one of can is taken, and his reading does not wait for ayse."""
    await received.work(Kind.EVIDENCE)
    await received.duties.receipt(next(each for each in received.tasks(Kind.RECEIPT) if each.payload["code"] == 20))
    for address in (AYSE, CAN):
        columns = ", ".join(f"m.{name}" for name in MailRow._fields)
        (row,) = received.rows(
            f"SELECT {columns} FROM mail m JOIN mailbox b ON b.id = m.mailbox JOIN account a ON a.id = b.account"
            " WHERE a.address = ? AND m.kind = 'dispatch'",
            address,
        )
        await received.duties.opened(MailRow(*row))
    await make(received, 60)
    held = next(each for each in received.tasks(Kind.RECEIPT) if each.payload["about"] == [1])
    assert held.payload["code"] == 40
    await received.store.write(lambda tx: hold(tx, held, "Bakım"))
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED, DELIVERED, READ]
    left = {each.payload["code"] for each in received.tasks(Kind.RECEIPT)}
    assert left == {40, 60}
    await received.store.write(lambda tx: release(tx, held, received.clock()))
    await received.work(Kind.RECEIPT)
    assert sent(received) == [RELAYED, DELIVERED, READ, DELIVERED, READ]


async def test_the_peer_is_told_of_all_and_one_each(received):
    await received.work()
    assert sorted(sent(received)) == sorted([RELAYED, DELIVERED, DELIVERED])
    assert {route.provider for route, _, _ in received.client.sent} == {HS91}
