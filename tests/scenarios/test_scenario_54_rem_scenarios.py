"""54 The scenarios S1 to S7 of EN 319 532-4: three providers, one of which follows a script, in either profile.

hs90 is the sender's provider, hs91 (REMS B) a second one, hs92 (REMS C) the script. Ordinary mail, the third way of S1
and S7, is refused at RCPT unless an administrator opens it.
"""

import smtplib

import pytest
from conftest import Later, World
from laboratory import Node, compose
from scripted import ScriptedPeer
from story import said

from kepgw.evidence.codes import KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason

ORDINARY = "biri@example.com"


class Trio(World):
    """Two providers and a scripted third, all in one profile."""

    def __init__(self, folder, profile):
        super().__init__(folder)
        self.profile = profile
        self.rem = profile == "rem-baseline"
        third = Node(folder / "hs92", "hs92.kep.tr").init()
        other = "tr-kep" if self.rem else "rem-baseline"
        for node in (self.here, self.there, third):
            node.configure(profiles__takes=[profile, other])
        self.here.configure(profiles__local=profile)
        for one, two in ((self.here, self.there), (self.there, self.here), (self.here, third), (third, self.here)):
            one.peer_with(two)
        self.judges = Later([node.folder / "keys" / "root.pem" for node in (self.here, self.there, third)])
        self.peer = ScriptedPeer(third)
        self.mehmet = self.here.account("mehmet", "Mehmet")
        self.zehra = self.there.account("zehra", "Zehra")

    def windows(self, **seconds):
        self.here.configure(**{f"relay__{name}": value for name, value in seconds.items()})
        self.here.asked("reload")

    def found(self, about, count):
        """Code, recipients and reasons of the evidence about a message, when so many are there."""
        with self.here.imap(self.ali) as reader:
            reader.wait_for("Deliller", count, "HEADER", "In-Reply-To", about)
        return sorted((code, to, tuple(sorted(why))) for code, to, why in said(self.here, self.ali, about))


@pytest.fixture(scope="module", params=["tr-kep", "rem-baseline"])
def trio(tmp_path_factory, request):
    before = request.session.testsfailed
    world = Trio(tmp_path_factory.mktemp(request.param), request.param)
    world.start()
    yield world
    try:
        world.end(failed=request.session.testsfailed > before)
        world.judges.end()
    finally:
        world.peer.close()


def c(local):
    return f"{local}@hs92.kep.tr"


def at_c(trio, *locals_, **answers):
    """A message to recipients at C; its Message-ID, and the dispatch as C has it."""
    trio.peer.answer(**answers)
    about = trio.send(*(c(each) for each in locals_))
    return about, trio.peer.next().octets


def codes(found):
    return sorted((code, each) for code, to, _ in found for each in to)


def test_s1_all_goes_well(trio):
    """Four recipients at two providers have it; the ordinary address is told apart at RCPT."""
    named = [trio.veli, trio.zehra, c("cem"), c("can")]
    message = compose(trio.ali, [*named, ORDINARY], "S1", "Merhaba.\n")
    trio.peer.answer()
    refused = trio.here.send(message, trio.ali, [*named, ORDINARY])
    assert set(refused) == {ORDINARY}
    about = message["Message-ID"]
    dispatch = trio.peer.next()
    assert set(dispatch.recipients) == {c("cem"), c("can")}, "one dispatch for all at a provider"
    for code in (KepCode.ILETILDI, KepCode.TESLIM, KepCode.OKUNDU):
        trio.peer.tell(trio.here, dispatch.octets, code)
    for address in (trio.veli, trio.zehra):
        with trio.there.imap(address) as reader:
            (uid,) = reader.wait_for("INBOX", 1)
            reader.fetch(uid, peek=False)
    # 10; 11 for the ordinary one; 20 of B for both; 20 of C, one or two; 40 and 60 each
    found = trio.found(about, 2 + 1 + (1 if trio.rem else 2) + 8)
    assert codes(found) == sorted([(code, each) for code in (10, 20, 40, 60) for each in named] + [(11, ORDINARY)])
    trio.expected |= {(about, each): "read" for each in named}


@pytest.mark.parametrize(
    ("spoil", "reply", "reason"),
    [
        ((b"From: ali@hs90", b"Bcc: x@hs91.kep.tr\r\nFrom: ali@hs90"), 554, ("InvalidMessageFormat", "RA02")),
        ((b"MIME-Version", b"X-TR-REM-iletiTip: eTebligat\r\nMIME-Version"), 550, ("PolicyViolation", "RA05")),
        ((b"From: ali@hs90", b"From: baska@hs90"), 550, ("PolicyViolation", "RA05")),
    ],
)
def test_s2_submission_rejected(trio, spoil, reply, reason):
    message = compose(trio.ali, [trio.veli, c("cem")], "S2", "Olmaz.\n").as_bytes().replace(b"\n", b"\r\n")
    octets = message.replace(*spoil)
    about = octets.partition(b"Message-ID: ")[2].partition(b"\r\n")[0].decode()
    with pytest.raises(smtplib.SMTPDataError) as caught:
        trio.here.send(octets, trio.ali, [trio.veli, c("cem")])
    assert caught.value.smtp_code == reply
    assert trio.found(about, 1) == [(11, (trio.veli, c("cem")), (reason[trio.rem],))]


@pytest.mark.parametrize(
    ("reason", "older"),
    [
        (ErdsReason.RB02, Reason.INVALID_MESSAGE_FORMAT),
        (ErdsReason.RB03, Reason.MALWARE_FOUND),
        (ErdsReason.RB04, Reason.INVALID_USER_SIGNATURE),
        (ErdsReason.RB05, Reason.USER_CERT_EXPIRED_OR_REVOKED),
        (ErdsReason.RB06, Reason.POLICY_VIOLATION),
    ],
)
def test_s3_relay_rejected(trio, reason, older):
    """C refuses by evidence; in the baseline the sender's provider says so again, with the same code."""
    local = f"red-{reason.name.lower()}"
    about, dispatch = at_c(trio, local)
    trio.peer.tell(trio.here, dispatch, KepCode.ILETILMEDI, reason=reason if trio.rem else older)
    found = trio.found(about, 3 if trio.rem else 2)
    why = reason.name if trio.rem else older.value
    assert found[1:] == [(code, (c(local),), (why,)) for code in ((21, 31) if trio.rem else (21,))]
    trio.expected[about, c(local)] = "refused"


@pytest.mark.parametrize(
    ("stage", "reply", "reasons"),
    [
        ("end", "554 5.3.0 broken", ("R_REMMD_Malfunction", "RB07")),
        ("mail", "451 4.3.0 later", ("R_REMMD_Unreachable", "RB09")),
        ("rcpt", "550 5.1.1 nobody", ("UnknownRecipient", "RB10")),
    ],
)
def test_s4_not_relayed_to_one(trio, stage, reply, reasons):
    """C cannot be given the message, B has it."""
    trio.peer.answer(**{stage: [reply] * 50})
    trio.windows(window=6 if reply.startswith("4") else 600)  # B needs its time in it too
    try:
        about = trio.send(trio.zehra, c(f"no-{stage}"))
        found = trio.found(about, 4)
    finally:
        trio.windows(window=600)
    assert codes(found) == sorted(
        [(10, trio.zehra), (10, c(f"no-{stage}")), (20, trio.zehra), (40, trio.zehra), (31, c(f"no-{stage}"))]
    )
    assert next(why for code, _, why in found if code == 31) == (reasons[trio.rem],)
    if stage == "end":
        trio.peer.next()
    trio.expected |= {(about, trio.zehra): "delivered", (about, c(f"no-{stage}")): "unreached"}


def test_s5_in_part_and_no_answer(trio):
    """B knows one of two and says so with two complementary evidences; C takes the message and is silent."""
    nobody, silent = "yok@hs91.kep.tr", c("silent")
    trio.peer.answer(end="wait")  # until B has answered: the short window is for C alone
    trio.peer.go_on.clear()
    about = trio.send(trio.veli, nobody, silent)
    trio.peer.next()
    trio.found(about, 5 if trio.rem else 4)
    trio.windows(answer_window=1)
    try:
        trio.peer.go_on.set()
        found = trio.found(about, 6 if trio.rem else 5)
    finally:
        trio.windows(answer_window=600)
    said = {(code, each): why for code, to, why in found for each in to}
    assert said[21, nobody] == (("RB21",) if trio.rem else ("UnknownRecipient",))
    assert said[31, silent] == (("RB22",) if trio.rem else ("R_REMMD_Malfunction",))
    assert (20, trio.veli) in said
    assert (20, nobody) not in said
    assert (21, trio.veli) not in said
    if trio.rem:
        assert said[31, nobody] == ("RB21",), "the sender's provider repeats it"
    trio.expected |= {(about, trio.veli): "delivered", (about, nobody): "refused", (about, silent): "unreached"}


def test_s6_not_consigned(trio):
    """C has it for three: one mailbox is full, one takes no such type, of one it says nothing more."""
    about, dispatch = at_c(trio, "full", "type", "nothing")
    trio.peer.tell(trio.here, dispatch, KepCode.ILETILDI, "full", "type")
    for local, rem, older in (
        ("full", ErdsReason.RD04, Reason.MAILBOX_FULL),
        ("type", ErdsReason.RD06, Reason.ATTACHMENT_FORMAT_NOT_ACCEPTED),
    ):
        trio.peer.tell(trio.here, dispatch, KepCode.TESLIM_EDILEMEDI, local, reason=rem if trio.rem else older)
    trio.windows(delivery_window=1)
    try:
        trio.peer.tell(trio.here, dispatch, KepCode.ILETILDI, "nothing")
        found = trio.found(about, 1 + (2 if trio.rem else 3) + 3)
    finally:
        trio.windows(delivery_window=600)
    why = {to[0]: reasons for code, to, reasons in found if code == 41}
    assert why == {
        c("full"): ("RD04",) if trio.rem else ("MailboxFull",),
        c("type"): ("RD06",) if trio.rem else ("AttachementFormatNotAccepted",),
        c("nothing"): ("RD03",) if trio.rem else ("S_REMMD_ReceivedNoDeliveryInfoFromR_REMMD",),
    }
    trio.expected |= {(about, c(each)): "undelivered" for each in ("full", "type")}
    trio.expected[about, c("nothing")] = "unproved"


def test_s7_everything_at_once(trio):
    """One here, one here who does not exist, one at C that breaks down, one at B, and an ordinary address."""
    nobody, broken = "hic@hs90.kep.tr", c("broken")
    named = [trio.mehmet, nobody, trio.veli, broken, ORDINARY]
    message = compose(trio.ali, named, "S7", "Merhaba.\n")
    trio.peer.answer()
    assert set(trio.here.send(message, trio.ali, named)) == {nobody, ORDINARY}
    about = message["Message-ID"]
    dispatch = trio.peer.next().octets
    trio.peer.tell(trio.here, dispatch, KepCode.ILETILDI)
    reason = ErdsReason.RD05 if trio.rem else Reason.TECHNICAL_MALFUNCTION
    trio.peer.tell(trio.here, dispatch, KepCode.TESLIM_EDILEMEDI, reason=reason)
    found = trio.found(about, 7)
    why = {(code, each): reasons for code, to, reasons in found for each in to}
    assert why[41, broken] == (("RD05",) if trio.rem else ("TechnicalMalfunction",))
    assert {each for code, each in why if code == 11} == {nobody, ORDINARY}
    assert (40, trio.mehmet) in why
    assert (20, trio.mehmet) not in why, "no relay evidence where both have one provider"
    trio.expected |= {
        (about, trio.mehmet): "delivered",
        (about, trio.veli): "delivered",
        (about, broken): "undelivered",
    }
