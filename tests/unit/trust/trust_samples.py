"""One message and one evidence for the tests of this folder."""

from datetime import UTC, datetime

from kepgw.evidence.codes import Element, Event
from kepgw.evidence.model import Entity, Evidence, Issuer, MessageDetails

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)  # when everything here happens, whatever the clock says

ORIGINAL = (
    "From: =?utf-8?q?Ay=C5=9Fe?= <ayse@hs90.kep.tr>\r\nTo: <ali@hs91.kep.tr>\r\nSubject: Deneme\r\n"
    "Message-ID: <1@ayse>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nGünaydın Ali,\r\nşimdi yazıyorum.\r\n"
).encode()


def evidence(digest, **changes):
    said = {
        "element": Element.SUBMISSION,
        "event": Event.ACCEPTANCE,
        "identifier": "delil-1@hs90.kep.tr",
        "policies": ("urn:test:policy",),
        "issuer": Issuer("kep@hs90.kep.tr", "HS90", "hs90.kep.tr"),
        "event_time": AT,
        "sender": Entity("ayse@hs90.kep.tr", "Ayşe"),
        "recipients": (Entity("ali@hs91.kep.tr"),),
        "message": MessageDetails("Deneme", "<1@ayse>", "ileti-1@hs90.kep.tr", "sha256", digest),
        "submission_time": AT,
        "reply_to": "ayse@hs90.kep.tr",
    }
    return Evidence(**(said | changes))
