"""The desk for our own users."""

import hashlib

import pytest
from interop_house import HS91, case, original, sealed

from kepgw.accounts.rights import Right
from kepgw.errors import StoreFull
from kepgw.evidence.codes import KepCode
from kepgw.evidence.model import Entity
from kepgw.interop.desk import Parameters
from kepgw.interop.malware import MalwareDesk
from kepgw.interop.settings import Policy
from kepgw.interop.work import order_of
from kepgw.journey.states import State
from kepgw.refusals import REFUSALS, Refusal
from kepgw.store.accounts import operator_by_login, set_account_state, set_quota
from kepgw.store.ids import month_of
from kepgw.store.tasks import SIGN, Kind

VELI = "veli@hs91.kep.tr"


@pytest.fixture
def ali(house):
    return house.account("ali", "Ali Yılmaz")


@pytest.fixture
def ayse(house):
    return house.account("ayse", "Ayşe Öztürk")


def refused(*pairs):
    return [(address, Refusal(key, "test", recipient=address, provider="X")) for address, key in pairs]


async def refusal_of(house, *arguments, **more):
    with pytest.raises(Refusal) as caught:
        await house.submit(*arguments, **more)
    return caught.value


def rejection(house, number=0):
    """The order of evidence 11 that a message waits for, and the recipients that it names."""
    message = house.message(number)
    (task,) = [each for each in house.tasks(Kind.EVIDENCE) if (each.month, each.message) == (message.month, message.id)]
    order = order_of(task.payload)
    assert order.code is KepCode.RED
    named = house.rows("SELECT address FROM recipient WHERE dispatch = ? ORDER BY ordinal", task.dispatch)
    return order, [address for (address,) in named]


async def test_a_message_is_taken_in_one_commit(house, ali):
    octets = original(body="Çağrı".encode(), more=b"X-TR-REM-iletiTip: eYazisma\r\n")
    identifier = await house.submit(ali, octets, VELI, parameters=Parameters("HDRS", "e1", {VELI: "NEVER"}, {}))
    message, (dispatch,), (recipient,) = house.message(), house.dispatches(), house.recipients()
    assert identifier == dispatch.remmd_id
    assert (message.t0, message.month) == (house.clock(), month_of(house.clock()))
    assert (message.account, message.operator, message.direction) == (ali.account, ali.id, "out")
    assert (message.sender, message.sender_name) == ("ali@hs90.kep.tr", "Ali Yılmaz")
    assert (message.ua_message_id, message.subject) == ("<1@client>", "Merhaba")
    assert (message.digest, message.size) == (hashlib.sha256(octets).digest(), len(octets))
    assert message.eight_bit
    assert message.facts["tr_headers"] == [["X-TR-REM-iletiTip", "eYazisma"]]
    assert message.facts["notify"] == {VELI: "NEVER"}
    assert (recipient.address, recipient.provider, recipient.state) == (VELI, HS91, State.ACCEPTED)
    ((month, content, flags, kind, size, _, _),) = house.mails("Gönderilmiş")
    assert (flags, kind, size) == ("\\Seen", "original", len(octets))
    assert house.octets(month, content) == octets
    ((task),) = house.tasks()
    assert (task.kind, task.lane, task.due) == (Kind.ISSUE, SIGN, house.clock())
    assert house.rows("SELECT actor, act, subject FROM audit") == [(ali.login, "submitted", identifier)]


async def test_a_retry_makes_nothing_new(house, ali, ayse):
    octets = original(to=[VELI])
    first = await house.submit(ali, octets, VELI, "ayse@hs90.kep.tr")
    house.clock.go(minutes=1)
    assert await house.submit(ali, octets, "ayse@hs90.kep.tr", VELI) == first  # recipients in another order
    assert house.rows("SELECT count(*) FROM message") == [(1,)]
    assert len(house.mails("Gönderilmiş")) == 1
    assert len(house.tasks()) == 2  # the named one, the blind one


@pytest.mark.parametrize(
    ("octets", "recipients"),
    [(original(body=b"y"), [VELI]), (original(), [VELI, "x@hs91.kep.tr"]), (original(), ["x@hs91.kep.tr"])],
)
async def test_a_message_id_used_for_something_else(house, ali, octets, recipients):
    await house.submit(ali, original(), VELI)
    refusal = await refusal_of(house, ali, octets, *recipients)
    assert (refusal.key, refusal.rule.code) == ("message-id-reused", 550)
    house.clock.go(seconds=1)
    assert await house.submit(ali, original(), VELI)  # the first one is still what it was


async def test_another_account_may_use_the_same_message_id(house, ali, ayse):
    first = await house.submit(ali, original(), VELI)
    assert await house.submit(ayse, original("ayse@hs90.kep.tr"), VELI) != first


async def test_a_blind_recipient_has_a_transaction_that_nobody_sees(house, ali, ayse):
    blind, other = "gizli@hs91.kep.tr", "ayse@hs90.kep.tr"
    await house.submit(ali, original(to=[VELI.upper()], cc=[other]), blind, other, VELI, other)
    dispatches = house.dispatches()
    assert [each.blind for each in dispatches] == [False, True]
    assert [each.address for each in house.recipients(0)] == [other, VELI]
    assert [each.address for each in house.recipients(1)] == [blind]
    assert [each.name for each in house.recipients(0)] == ["Ayşe Öztürk", ""]
    assert len({each.remmd_id for each in dispatches} | {each.evidence_id for each in dispatches}) == 4
    assert len(house.tasks(Kind.ISSUE)) == 2


async def test_only_blind_recipients(house, ali):
    await house.submit(ali, original(to=["x@hs91.kep.tr"]), "a@hs91.kep.tr", "b@hs91.kep.tr")
    assert [each.blind for each in house.dispatches()] == [True, True]


async def test_recipients_refused_before_data_are_named_in_one_evidence_11(house, ali):
    given = refused(
        ("yok@hs90.kep.tr", "unknown-recipient"), ("eski@hs92.kep.tr", "provider-ended"), ("çöp", "not-kep-address")
    )
    await house.submit(ali, original(), VELI, refused=given)
    order, named = rejection(house)
    assert named == ["yok@hs90.kep.tr", "eski@hs92.kep.tr", "çöp"]
    assert {reason.reason for reason in order.reasons} == {REFUSALS[refusal.key].reason for _, refusal in given}
    assert all(reason.details for reason in order.reasons)
    assert house.message().state == "accepted"
    await house.work(Kind.ISSUE, Kind.EVIDENCE)
    assert sorted(house.codes()) == [10, 11]
    assert house.flags("ali@hs90.kep.tr") == "$KepKabul $KepRed \\Seen"
    assert len(house.mails("Deliller")) == 2


@pytest.mark.parametrize(
    ("octets", "key"),
    [
        (original("ayse@hs90.kep.tr"), "from-not-account"),
        (original(more=b"Bcc: x@hs91.kep.tr\r\n"), "bcc-header"),
        (original(more=b"X-TR-REM-iletiTip: eTebligat\r\n"), "etebligat"),
        (original().replace(b"Message-ID", b"X-No-ID"), "message-id"),
        (original(body=b"a\nb"), "bare-line-end"),
        (original(body=b"a\0b"), "nul-octet"),
        (original(body=b"x" * 999), "line-too-long"),
        (b"no header at all\r\n", "bad-header"),
        (b"\r\n", "bad-header"),
        (original().replace(b"From", b"X-From"), "from-header"),
    ],
)
async def test_a_message_refused_whole_is_kept_and_proved(house, ali, octets, key):
    refusal = await refusal_of(house, ali, octets, VELI, refused=refused(("yok@hs90.kep.tr", "unknown-recipient")))
    assert refusal.key == key
    assert house.message().state == "refused"
    _, named = rejection(house)
    assert named == [VELI, "yok@hs90.kep.tr"]
    ((month, content, flags, *_),) = house.mails("Gönderilmiş")
    assert flags == "$KepRed \\Seen"
    assert house.octets(month, content) == octets
    assert house.tasks(Kind.ISSUE) == []
    await house.work(Kind.EVIDENCE)
    assert house.codes() == [11]
    ((month, content, *_),) = house.mails("Deliller")
    assert b"X-REM-EventCode: http:uri.etsi.org/02640/Event#Rejection" in house.octets(month, content)


async def test_evidence_11_of_a_refused_header_names_the_message_that_it_is_about(house, ali):
    octets = original(more=b"Bcc: x@hs91.kep.tr\r\n")
    await refusal_of(house, ali, octets, VELI)
    await house.work(Kind.EVIDENCE)
    ((month, content, *_),) = house.mails("Deliller")
    identifier = octets.partition(b"Message-ID: ")[2].partition(b"\r\n")[0]
    assert identifier
    assert b"\r\nIn-Reply-To: " + identifier + b"\r\n" in house.octets(month, content)


async def test_a_client_in_a_loop_is_proved_its_refusal_once(house, ali):
    octets = original(more=b"Bcc: gizli@hs91.kep.tr\r\n")
    for _ in range(3):
        assert (await refusal_of(house, ali, octets, VELI)).key == "bcc-header"
    assert len(house.mails("Gönderilmiş")) == 1
    assert len(house.tasks(Kind.EVIDENCE)) == 1
    assert (await refusal_of(house, ali, octets, VELI, "zeki@hs91.kep.tr")).key == "bcc-header"
    assert len(house.mails("Gönderilmiş")) == 2


async def test_a_refused_message_leaves_its_message_id_free(house, ali):
    await refusal_of(house, ali, original(more=b"Bcc: x@hs91.kep.tr\r\n"), VELI)
    assert await house.submit(ali, original(), VELI)


async def test_etebligat_by_policy(identities, tmp_path):
    from interop_house import House

    house = await House(identities, tmp_path / "h", policy=Policy(etebligat=True)).start()
    await house.know(HS91)
    assert await house.submit(house.account("ali"), original(more=b"X-TR-REM-iletiTip: eTebligat\r\n"), VELI)
    house.close()


@pytest.mark.parametrize("key", [key for key, rule in REFUSALS.items() if rule.code < 500])
async def test_a_passing_refusal_leaves_nothing(house, ali, key):
    assert (await refusal_of(house, ali, original(), VELI, problem=Refusal(key, "x"))).key == key
    for table in ("message", "mail", "dispatch", "task", "blob", "idempotency"):
        assert house.rows(f"SELECT count(*) FROM {table}") == [(0,)], table


async def test_a_full_disk_leaves_nothing(house, ali):
    pages = house.store.write_now(lambda tx: tx.row("PRAGMA page_count")[0])
    house.store.write_now(lambda tx: tx.row(f"PRAGMA max_page_count={pages + 2}"))
    with pytest.raises(StoreFull):
        await house.submit(ali, original(body=b"x" * 900 + b"\r\n" + b"y\r\n" * 100_000), VELI)
    assert house.rows("SELECT count(*) FROM message") == [(0,)]
    assert house.mails("Gönderilmiş") == []


async def test_no_recipients(house, ali):
    assert (await refusal_of(house, ali, original())).key == "no-recipients"
    assert house.rows("SELECT count(*) FROM message") == [(0,)]


async def test_an_account_disabled_after_the_login(house, ali):
    await house.store.write(lambda tx: set_account_state(tx, "ali@hs90.kep.tr", "disabled"))
    assert (await refusal_of(house, ali, original(), VELI)).key == "account-disabled"
    assert house.tasks(Kind.ISSUE) == []


async def test_a_right_taken_after_the_login(house, ali):
    await house.store.write(lambda tx: tx.run("UPDATE operator SET rights = ?", int(Right.READ)))
    assert (await refusal_of(house, ali, original(), VELI)).key == "no-send-right"


async def test_a_recipient_who_closed_between_rcpt_and_data(house, ali, ayse):
    await house.store.write(lambda tx: set_account_state(tx, "ayse@hs90.kep.tr", "closed"))
    assert (await refusal_of(house, ali, original(), "ayse@hs90.kep.tr")).key == "recipient-closed"
    assert house.tasks(Kind.ISSUE) == []


# -- MAIL and RCPT ------------------------------------------------------------------------------------------------


async def test_the_sender_is_the_account(house, ali):
    await house.submission.sender(ali, "Ali@HS90.kep.tr")
    for address in ("", "ayse@hs90.kep.tr", "ali@hs91.kep.tr"):
        with pytest.raises(Refusal, match="sender-not-account"):
            await house.submission.sender(ali, address)


async def test_an_operator_without_the_right_to_send(house, ali):
    await house.store.write(
        lambda tx: tx.run(
            "INSERT INTO operator (account, login, name, rights, state, argon2, scram_sha256, created)"
            " VALUES (?, 'ali@hs90.kep.tr/arsiv', 'A', ?, 'active', 'a', 's', 0)",
            ali.account,
            int(Right.READ | Right.ARCHIVE),
        )
    )
    reader = house.store.read_now(lambda tx: operator_by_login(tx, "ali@hs90.kep.tr/arsiv"))
    with pytest.raises(Refusal, match="no-send-right"):
        await house.submission.sender(reader, "ali@hs90.kep.tr")


async def test_recipients_are_made_canonical(house, ali, ayse):
    assert await house.submission.recipient(ali, "AYSE@hs90.KEP.tr", "::1") == "ayse@hs90.kep.tr"
    assert await house.submission.recipient(ali, VELI, "::1") == VELI
    assert house.rows("SELECT count(*) FROM audit") == [(0,)]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("yok@hs90.kep.tr", "unknown-recipient"),
        ("kapali@hs90.kep.tr", "recipient-closed"),
        ("a@hs99.kep.tr", "unknown-provider"),
        ("a@example.com", "not-kep-address"),
    ],
)
async def test_a_refused_recipient_is_audited(house, ali, address, key):
    house.account("kapali")
    await house.store.write(lambda tx: set_account_state(tx, "kapali@hs90.kep.tr", "closed"))
    with pytest.raises(Refusal) as caught:
        await house.submission.recipient(ali, address, "192.0.2.7")
    assert caught.value.key == key
    assert house.rows("SELECT actor, act, subject, detail FROM audit") == [
        (ali.login, "rcpt-refused", address, f"{key} 192.0.2.7")
    ]


async def test_a_rule_is_told_even_when_the_audit_cannot_be_written(house, ali, monkeypatch):
    async def full(work):
        raise StoreFull("no room")

    monkeypatch.setattr(house.store, "write", full)
    with pytest.raises(Refusal, match="not-kep-address"):
        await house.submission.recipient(ali, "a@example.com", "::1")


# -- sizes --------------------------------------------------------------------------------------------------------


def with_attachment(encoded):
    head = b'Content-Type: multipart/mixed; boundary="b"\r\n'
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\nContent-Type: application/pdf\r\n"
    body += b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"\r\n--b--"
    return original(more=head, body=body)


def base64_lines(octets):
    import base64

    return base64.encodebytes(octets).replace(b"\n", b"\r\n").removesuffix(b"\r\n")


async def test_the_limit_is_for_content_before_transfer_encoding(identities, tmp_path):
    from interop_house import House

    limit = 100_000
    house = await House(identities, tmp_path / "h", policy=Policy(content_octets=limit)).start()
    await house.know(HS91)
    ali = house.account("ali")
    good = with_attachment(base64_lines(b"\1" * (limit - 1500)))
    assert len(good) > limit * 1.3
    assert await house.submit(ali, good, VELI)
    refusal = await refusal_of(house, ali, with_attachment(base64_lines(b"\1" * (limit + 1))), VELI)
    assert (refusal.key, refusal.rule.code, refusal.values["limit"]) == ("too-large", 552, limit)
    house.clock.go(seconds=1)
    plain = original(number=2, body=b"x" * 80 + (b"\r\n" + b"y" * 78) * 1300)
    assert (await refusal_of(house, ali, plain, VELI)).key == "too-large"
    assert house.message().state == "refused"
    house.close()


async def test_a_hostile_subject_and_names_never_stop_the_evidence(house, ali):
    subject = "=?utf-8?q?a=00=0B=0D=0ABcc:_x=EF=BF=BE=F0=9F=98=80?="
    await house.submit(ali, original(subject=subject, to=['"' + "x" * 300 + '" <veli@hs91.kep.tr>']), VELI)
    await house.work(Kind.ISSUE)
    assert house.codes() == [10]
    ((month, content, *_),) = house.mails("Deliller")
    assert b"\r\nBcc:" not in house.octets(month, content)


def test_the_kit_itself_speaks_of_the_same_digest():
    assert case(b"x").digest == hashlib.sha256(b"x").digest()


async def test_over_the_quota_nothing_is_sent_and_receiving_goes_on(house, ali, bench):
    house.submission.reconfigure(Policy(quota_octets=300), MalwareDesk(()))
    await house.submission.sender(ali, "ali@hs90.kep.tr")
    await house.submit(ali, original(body=b"x" * 400), VELI)
    with pytest.raises(Refusal) as caught:
        await house.submission.sender(ali, "ali@hs90.kep.tr")
    assert (caught.value.key, caught.value.rule.code, caught.value.rule.enhanced) == ("quota-exceeded", 552, "5.2.2")
    octets = original("veli@hs91.kep.tr", ["ali@hs90.kep.tr"])
    await house.receive(sealed(bench, case(octets, recipients=(Entity("ali@hs90.kep.tr"),)), octets), "ali@hs90.kep.tr")
    assert len(house.mails("INBOX", "ali@hs90.kep.tr")) == 1
    await house.store.write(lambda tx: set_quota(tx, "ali@hs90.kep.tr", 0))  # an account of its own: no bound
    await house.submission.sender(ali, "ali@hs90.kep.tr")
