"""02 Attachments and Turkish letters travel byte for byte, 8-bit text included."""

import email
import email.policy

from laboratory import compose
from story import ACCEPTED, DELIVERED, RELAYED, receipts


def test_attachments_and_turkish_names(world):
    body = "İıŞşĞğÜüÖöÇç — “İSTANBUL” / Iğdır\n" * 20
    files = [("Sözleşme İŞĞÜ.pdf", bytes(range(256)) * 1000), ("boş.txt", b"")]
    message = compose(world.ali, [world.veli], "Çağrı: ŞĞÜİÖÇ şğüıöç", body, attachments=files)
    world.here.send(message, world.ali, [world.veli])
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        octets = reader.fetch(uid)
    world.judges.message(octets)
    assert message.as_bytes(policy=message.policy.clone(linesep="\r\n")) in octets
    read = email.message_from_bytes(octets, policy=email.policy.default)
    (original,) = [part for part in read.walk() if part.get_content_type() == "message/rfc822"]
    inner = original.get_content()
    assert inner["Subject"] == "Çağrı: ŞĞÜİÖÇ şğüıöç"
    assert [(part.get_filename(), part.get_content()) for part in inner.iter_attachments()] == files
    assert receipts(world.here, world.ali, 3, world.judges) == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}


def test_eight_bit_text_is_carried_unencoded(world):
    lines = [
        f"From: {world.ali}",
        f"To: {world.veli}",
        "Subject: 8bit",
        "Message-ID: <sekiz-bit@ali>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        ".noktalı satır, ığüşöç İĞÜŞÖÇ",
        "..",
        "",
    ]
    octets = "\r\n".join(lines).encode()
    world.here.send(octets, world.ali, [world.veli])
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        arrived = reader.fetch(uid)
    world.judges.message(arrived)
    assert octets in arrived
    assert b"Content-Transfer-Encoding: 8bit" in arrived.split(b"\r\n\r\n")[0], "RFC 2045 6.4: the multipart says so"
