"""12 The sender's own signature: required, verified, told to the recipient, carried untouched."""

import re
import smtplib
from datetime import UTC, datetime, timedelta

import pytest
from laboratory import event_of, evidences, parts
from nes import PART, Eshs, by_openssl, headers, wrap
from story import ACCEPTED, DELIVERED, REJECTED, RELAYED, receipts

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def eshs():
    return Eshs(at=NOW)


@pytest.fixture
def signed_world(make_world, eshs):
    """Ali's provider requires signatures of certificates below one authority."""
    world = make_world()
    world.here.configure(submission__require_signature="require")
    folder = world.here.folder / "user-anchors"
    (folder / "eshs.pem").write_bytes(eshs.pem())
    (folder / "eshs.crl").write_bytes(eshs.crl(at=NOW))
    return world.start()


def letter(world, part, cms, message_id):
    return wrap(part, cms, outer=headers(world.ali, world.veli, message_id))


def method(xml):
    return re.search(rb"AuthenticationMethod>[^<]*#([\w-]+)<", xml)[1].decode()


def introduction(octets):
    return (
        next(part for part in parts(octets) if part.get_content_type() == "text/plain")
        .get_payload(decode=True)
        .decode()
    )


def test_a_signed_message(signed_world, eshs):
    """Signed with a NES: QES in evidence 10, a line for the reader, the same octets at the other end."""
    world = signed_world
    original = letter(world, PART, by_openssl(PART, eshs.issue("Ali Yılmaz")), "<imzali@ali>")
    assert world.here.send(original, world.ali, [world.veli]) == {}
    found = receipts(world.here, world.ali, 3, world.judges, "<imzali@ali>")
    assert found == {ACCEPTED: 1, RELAYED: 1, DELIVERED: 1}
    with world.there.imap(world.veli) as reader:
        (uid,) = reader.wait_for("INBOX", 1)
        dispatch = reader.fetch(uid)
    world.judges.message(dispatch)
    assert original in dispatch  # stored and carried raw
    ((_, xml),) = evidences(dispatch)
    assert method(xml) == "QES"
    told = introduction(dispatch)
    assert "Ali Yılmaz imzaladı; Deneme ESHS tarafından verilen nitelikli elektronik sertifika" in told
    assert "signed by Ali Yılmaz; qualified certificate of Deneme ESHS, valid at" in told


def test_refused_with_the_reason_and_a_proof(signed_world, eshs):
    """Unsigned, altered, of a stranger, expired, revoked: each refusal is proved by evidence 11 with its own reason."""
    world = signed_world
    ali, stranger = eshs.issue(), Eshs("Başka ESHS").issue()
    expired = eshs.issue(begins=NOW - timedelta(days=400), days=365)
    altered = PART.replace(b"belge.eyp", b"balge.eyp")
    cases = {
        "<yok@ali>": (headers(world.ali, world.veli, "<yok@ali>") + b"\r\nMerhaba\r\n", "InvalidUserSignature"),
        "<bozuk@ali>": (letter(world, altered, by_openssl(PART, ali), "<bozuk@ali>"), "InvalidUserSignature"),
        "<baska@ali>": (letter(world, PART, by_openssl(PART, stranger), "<baska@ali>"), "InvalidUserSignature"),
        "<eski@ali>": (letter(world, PART, by_openssl(PART, expired), "<eski@ali>"), "UserCertExpiredOrRevoked"),
    }
    for octets, _ in cases.values():
        with pytest.raises(smtplib.SMTPDataError) as caught:
            world.here.send(octets, world.ali, [world.veli])
        assert caught.value.smtp_code in (550, 554)
    for message_id, (_, reason) in cases.items():
        with world.here.imap(world.ali) as reader:
            (uid,) = reader.wait_for("Deliller", 1, "HEADER", "In-Reply-To", message_id)
            receipt = reader.fetch(uid)
        world.judges.message(receipt)
        ((_, xml),) = evidences(receipt)
        assert event_of(xml) == REJECTED
        assert f"#{reason}<".encode() in xml
    with world.there.imap(world.veli) as reader:
        assert reader.select("INBOX") == 0


def test_only_a_warning(make_world, eshs):
    """With "warn" everything passes, and the reader is told what it is worth."""
    world = make_world()
    world.here.configure(submission__require_signature="warn")
    world.start()
    signed = letter(world, PART, by_openssl(PART, eshs.issue()), "<taninmayan@ali>")
    unsigned = headers(world.ali, world.veli, "<imzasiz@ali>") + b"\r\nMerhaba\r\n"
    for octets in (signed, unsigned):
        assert world.here.send(octets, world.ali, [world.veli]) == {}
    with world.there.imap(world.veli) as reader:
        uids = reader.wait_for("INBOX", 2)
        dispatches = [reader.fetch(uid) for uid in uids]
    told = {method(evidences(each)[0][1]): introduction(each) for each in dispatches}
    assert "does not know the authority" in told["AdES"]
    assert "carries no signature of its sender" in told["Basic"]
