"""The rule about senders' signatures at the desk: off, warn, require; what is kept and what is told."""

import pytest
from interop_house import HS91, case, original
from nes import PART, Eshs, by_us, headers, wrap

from kepgw.evidence.codes import KepCode, Reason
from kepgw.interop.case import Order, SignedBy, case_of
from kepgw.interop.settings import Policy
from kepgw.interop.submission import SubmissionCounter
from kepgw.interop.tr_kep import TrKep
from kepgw.interop.work import order_of
from kepgw.refusals import Refusal
from kepgw.store.messages import Transaction
from kepgw.store.tasks import Kind
from kepgw.trust.useranchors import UserAnchors

VELI = f"veli@{HS91}"


@pytest.fixture(scope="module")
def eshs():
    return Eshs()


@pytest.fixture
def desk(house, eshs, tmp_path):
    """desk("require") -> a house with that rule and an operator."""

    def make(rule):
        folder = tmp_path / "user-anchors"
        folder.mkdir()
        (folder / "eshs.pem").write_bytes(eshs.pem())
        house.submission = SubmissionCounter(
            house.store,
            house.peers,
            Policy(signature=rule),
            house.clock,
            lambda: None,
            house.profiles,
            UserAnchors(folder),
        )
        return house, house.account("ali", "Ali Yılmaz")

    return make


def signed(eshs, message_id="<imzali@ali>", part=PART, **issue):
    return wrap(part, by_us(PART, eshs.issue(**issue)), outer=headers(message_id=message_id))


def facts(house):
    (message,) = [house.message()]
    return message.facts["authentication"], message.facts["signature"]


async def test_required_and_there(desk, eshs):
    house, ali = desk("require")
    octets = signed(eshs)
    await house.submit(ali, octets, VELI)
    method, kept = facts(house)
    assert (method, kept["name"], kept["authority"], kept["form"]) == ("QES", "Ali Yılmaz", "Deneme ESHS", "as-is")
    message, (made,) = house.message(), house.dispatches()
    transaction = case_of(Transaction(message, made, tuple(house.recipients())))
    assert transaction.authentication.method == "QES"
    assert transaction.signed_by == SignedBy("QES", "Ali Yılmaz", "Deneme ESHS")
    assert house.octets(message.month, message.content) == octets


@pytest.mark.parametrize(
    ("octets", "key", "reason"),
    [
        (lambda eshs: original(), "user-signature-missing", Reason.INVALID_USER_SIGNATURE),
        (lambda eshs: signed(eshs, part=PART + b"."), "user-signature-invalid", Reason.INVALID_USER_SIGNATURE),
        (lambda eshs: signed(Eshs("Başka")), "user-certificate-untrusted", Reason.INVALID_USER_SIGNATURE),
        (lambda eshs: signed(eshs, days=0), "user-certificate-unusable", Reason.USER_CERT_EXPIRED_OR_REVOKED),
    ],
)
async def test_required_and_not_good(desk, eshs, octets, key, reason):
    house, ali = desk("require")
    with pytest.raises(Refusal) as caught:
        await house.submit(ali, octets(eshs), VELI)
    assert caught.value.key == key
    (task,) = house.tasks(Kind.EVIDENCE)
    order = order_of(task.payload)
    assert order.code is KepCode.RED
    assert [each.reason for each in order.reasons] == [reason]
    assert order.reasons[0].details  # a sentence that the sender can act on
    assert house.message().state == "refused"


async def test_a_warning_only(desk, eshs):
    house, ali = desk("warn")
    await house.submit(ali, signed(eshs, "<1@ali>", part=PART + b"."), VELI)
    assert facts(house)[0] == "Basic"
    assert facts(house)[1]["method"] == "invalid"
    await house.submit(ali, signed(Eshs("Başka"), "<2@ali>"), VELI)
    await house.submit(ali, original(), VELI)
    methods = {house.message(number).facts["authentication"] for number in range(3)}
    assert methods == {"Basic", "AdES"}


async def test_off(desk, eshs):
    house, ali = desk("off")
    await house.submit(ali, signed(eshs), VELI)
    assert facts(house) == ("Basic", None)


@pytest.mark.parametrize(
    ("signed_by", "turkish", "english"),
    [
        (SignedBy("QES", "Ali", "ESHS"), "nitelikli elektronik sertifika", "qualified certificate of ESHS"),
        (SignedBy("AdES-Plus", "Ali", "ESHS"), "(nitelikli değil)", "not a qualified one"),
        (SignedBy("AdES", "Ali", "ESHS"), "sağlayıcı tanımıyor", "does not know the authority"),
        (SignedBy("none"), "imzasını taşımıyor", "no signature of its sender"),
        (SignedBy("invalid"), "doğrulayamadı", "could not verify"),
        (SignedBy("QES", "{x} <b>\r\nBcc: a", "ESHS"), "{x} <b> Bcc: a imzaladı", "signed by {x} <b> Bcc: a"),
    ],
)
def test_what_the_reader_is_told(house, signed_by, turkish, english):
    head = dispatched(house, case(b"x", signed_by=signed_by))
    told = " ".join(_text(head).split())
    assert turkish in told
    assert english in told


def dispatched(house, given):
    profile = TrKep(house.identities.benches[house.domain].identity)
    made = profile.evidence(given, Order(KepCode.KABUL, given.evidence_id, given.t0), None)
    return profile.dispatch(given, made, b"<e/>").head


def _text(head):
    import email
    from email.policy import default

    message = email.message_from_bytes(head, policy=default)
    return next(part for part in message.walk() if part.get_content_type() == "text/plain").get_content()


def test_nothing_is_told_when_nothing_was_looked_at(house):
    head = dispatched(house, case(b"x"))
    assert "imzası" not in _text(head)
