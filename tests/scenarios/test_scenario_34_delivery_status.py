"""34 A script that knows delivery status notifications only: what it asked for stands in the receipts it gets."""

import email

from flufl.bounce import all_failures
from laboratory import compose
from story import ACCEPTED, DELIVERED, UNREACHED, receipts


def told(octets):
    """The delivery status of a receipt, one mapping a block; empty when there is none."""
    found = [
        part for part in email.message_from_bytes(octets).walk() if part.get_content_type() == "message/delivery-status"
    ]
    return [dict(block.items()) for part in found for block in part.get_payload()]


def test_a_script_reads_receipts_as_delivery_status(make_world):
    world = make_world()
    world.here.configure(relay__window=2)
    world.here.start()  # the peer never comes
    mehmet, zeynep = world.here.account("mehmet"), world.here.account("zeynep")
    message = compose(world.ali, [mehmet, zeynep, world.veli], "Bildirim", "Üç kişiye.\n")
    with world.here.smtp(world.ali) as client:
        client.ehlo()
        client.mail(world.ali, ["ENVID=dosya+2B7", "RET=HDRS"])
        client.rcpt(mehmet, ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Memo@hs90.kep.tr"])
        client.rcpt(zeynep, ["NOTIFY=NEVER"])
        client.rcpt(world.veli, [])
        assert client.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))[0] == 250
    # NEVER keeps no evidence back; every receipt is judged by openssl, xmlsec1 and kepgw verify
    wanted = {ACCEPTED: 1, DELIVERED: 2, UNREACHED: 1}
    assert receipts(world.here, world.ali, 4, world.judges) == wanted
    with world.here.imap(world.ali) as reader:
        mails = reader.all("Deliller")
    blocks = sorted((told(octets) for octets in mails), key=str)
    assert [len(each) for each in blocks] == [0, 0, 2, 2], "none for 10, none for the one who is not to be told of"
    by_recipient = {each[1]["Final-Recipient"]: each for each in blocks if each}
    assert {each[0]["Original-Envelope-Id"] for each in by_recipient.values()} == {"dosya+7"}
    delivered, failed = by_recipient[f"rfc822; {mehmet}"][1], by_recipient[f"rfc822; {world.veli}"][1]
    assert (delivered["Action"], delivered["Status"]) == ("delivered", "2.0.0")
    assert delivered["Original-Recipient"] == "rfc822; Memo@hs90.kep.tr"
    assert (failed["Action"], failed["Status"], failed["Remote-MTA"]) == ("failed", "4.4.7", "dns; 127.0.0.1")
    bounced = set().union(*(all_failures(email.message_from_bytes(octets))[1] for octets in mails))
    assert bounced == {world.veli.encode()}, "a bounce parser that is not ours"
