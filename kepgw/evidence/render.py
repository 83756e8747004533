"""Evidence for people: a title and labelled lines in Turkish or English, as data, as plain text and as HTML.

Values come from outside: whatever could break a line, hide text or turn its direction is made visible or flat here.
The HTML refers to nothing outside itself.
"""

import html
import re
from datetime import datetime

from kepgw.evidence.codes import DEVELOPMENT_POLICY, METHODS, Element, Event, KepCode, Reason
from kepgw.evidence.en319522_codes import ErdsReason
from kepgw.evidence.markup import ISTANBUL
from kepgw.evidence.model import Assurance, Authentication, Entity, Evidence, GivenReason, MessageDetails
from kepgw.texts import LANGUAGES, Language, text

Rendering = tuple[str, list[tuple[str, str]]]

_OTHER_EVENTS = {
    (Element.DOWNLOAD, Event.DOWNLOAD): "evidence-download",
    (Element.DOWNLOAD, Event.DOWNLOAD_EXPIRATION): "evidence-download-expiration",
    (Element.RECIPIENT_ACCEPTANCE, Event.ACCEPTANCE): "evidence-recipient-acceptance",
    (Element.RECIPIENT_ACCEPTANCE, Event.REJECTION): "evidence-recipient-rejection",
    (Element.TO_NON_REM, Event.FORWARDED_TO_REGULAR_EMAIL): "evidence-to-regular-email",
    (Element.TO_NON_REM, Event.FORWARDED_TO_PRINTING_SYSTEM): "evidence-to-printing",
    (Element.FROM_NON_REM, Event.RECEIVED_FROM_REGULAR_EMAIL): "evidence-from-regular-email",
}
_WHITE = re.compile(r"[\s\u2028\u2029]+")
# C0, C1, and what turns or hides text for a reader (Unicode TR 36)
_DECEPTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
MAX_VALUE = 1000  # characters of one line; the XML has the rest
MAX_LISTED = 100  # recipients written out; the XML has the rest


def is_development(evidence: Evidence) -> bool:
    """Whether the evidence says of itself that it has no legal effect."""
    return DEVELOPMENT_POLICY in evidence.policies


def render(evidence: Evidence, language: Language) -> Rendering:
    """(title, [(label, value), ...]) in ``language``; every value is one line without control characters.

    The first line of evidence under the development policy is its warning.
    """
    event = _event(evidence, language)
    title, kind = _title(evidence, event, language)
    lines: list[tuple[str, str]] = []

    def line(key: str, value: str, **values: object) -> None:
        if value:
            lines.append((text(f"evidence-label-{key}", language, **values), value))

    if is_development(evidence):
        line("warning", text("evidence-development", language))
    line("type", kind)
    line("identifier", flat(evidence.identifier))
    line("event-time", show_time(evidence.event_time))
    line("submission-time", show_time(evidence.submission_time) if evidence.submission_time else "")
    line("issuer", _entity(Entity(evidence.issuer.address or evidence.issuer.domain, evidence.issuer.name)))
    line("sender", _entity(evidence.sender))
    line("sender-delegate", _entity(evidence.sender_delegate) if evidence.sender_delegate else "")
    line("recipients", _entities(evidence.recipients))
    line("about", _entities(evidence.about) if evidence.refers_to or evidence.refers_to_several else "")
    line("delegates", _entities(tuple(delegate.entity for delegate in evidence.delegates)))
    if evidence.message is not None:
        line("subject", flat(evidence.message.subject))
        line("message-id", flat(evidence.message.remmd_message_id))
        line("ua-message-id", flat(evidence.message.ua_message_id))
        line("digest", evidence.message.digest.hex(), algorithm=_algorithm(evidence.message))
    if evidence.notification is not None:
        line("notification-id", flat(evidence.notification.remmd_message_id))
        line("digest", evidence.notification.digest.hex(), algorithm=_algorithm(evidence.notification))
    for given in evidence.reasons:
        line("reason", _reason(given, language))
    line("reply-to", flat(evidence.reply_to or ""))
    line("sender-authentication", _authentication(evidence.sender_authentication, language))
    line("recipient-authentication", _authentication(evidence.recipient_authentication, language))
    line("sender-assurance", _assurance(evidence.sender.assurance))
    line("external", flat(evidence.external.name) if evidence.external else "")
    line("untrusted-path", _entities(tuple(evidence.recipients[index - 1] for index in evidence.untrusted_path)))
    line("forwarded-to", flat(evidence.forwarded_to or ""))
    line("log", flat(" | ".join(evidence.log)))
    line("policies", ", ".join(flat(policy) for policy in evidence.policies))
    return title, lines


def to_text(evidence: Evidence) -> str:
    """The rendering as plain text, Turkish then English, lines ended by LF."""
    written: list[str] = []
    for language in LANGUAGES:
        title, lines = render(evidence, language)
        written += [title, "=" * min(len(title), 76), ""]
        if is_development(evidence):
            label, warning = lines.pop(0)
            written += ["*" * 76, f"{label}: {warning}", "*" * 76, ""]
        written += [f"{label}: {value}" for label, value in lines]
        written += ["", text("evidence-signed-xml-rules", language), "", ""]
    return "\n".join(written).rstrip("\n") + "\n"


def to_html(evidence: Evidence) -> str:
    """The rendering as one HTML document, Turkish then English, without scripts or outside references."""
    sections = []
    for language in LANGUAGES:
        title, lines = render(evidence, language)
        banner = ""
        if is_development(evidence):
            label, warning = lines.pop(0)
            banner = (
                '<p role="alert" style="background:#b00020;color:#fff;font-weight:bold;padding:.75em">'
                f"{html.escape(label)}: {html.escape(warning)}</p>"
            )
        rows = "".join(
            '<tr><th scope="row" style="text-align:left;vertical-align:top;padding:.2em 1em .2em 0">'
            f'{html.escape(label)}</th><td style="padding:.2em 0;overflow-wrap:anywhere"><bdi>{html.escape(value)}'
            "</bdi></td></tr>"
            for label, value in lines
        )
        sections.append(
            f'<section lang="{language}"><h1 style="font-size:1.2em">{html.escape(title)}</h1>{banner}'
            f"<table>{rows}</table><p>{html.escape(text('evidence-signed-xml-rules', language))}</p></section>"
        )
    title = html.escape(render(evidence, "tr")[0])
    return (
        f'<!DOCTYPE html>\n<html lang="tr"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="font-family:sans-serif">{"<hr>".join(sections)}</body></html>\n'
    )


def show_time(at: datetime) -> str:
    """A time for people: Turkish civil time with its offset, ``01.03.2026 12:30:15 +03:00``."""
    return f"{at.astimezone(ISTANBUL):%d.%m.%Y %H:%M:%S} +03:00"


def flat(value: str) -> str:
    """A value from outside on one line, without control characters and what turns the direction of text; cut."""
    line = _DECEPTIVE.sub("\ufffd", _WHITE.sub(" ", value)).strip()
    return line if len(line) <= MAX_VALUE else line[: MAX_VALUE - 1] + "…"


def _entity(entity: Entity) -> str:
    name, address = flat(entity.name), flat(entity.address)
    return f"{name} <{address}>" if name and address else name or address


def _entities(entities: tuple[Entity, ...]) -> str:
    shown = ", ".join(_entity(entity) for entity in entities[:MAX_LISTED])
    return shown if len(entities) <= MAX_LISTED else f"{shown}, … (+{len(entities) - MAX_LISTED})"


def _title(evidence: Evidence, event: str, language: Language) -> tuple[str, str]:
    """The title and the line that names the kind, by the codes of the evidence's generation."""
    code, erds = evidence.kep_code, evidence.erds_event
    if code is not None:
        kind = f"{int(code)} ({flat(evidence.element)} / {flat(evidence.event)})"
        return text("evidence-title-coded", language, code=int(code), event=event), kind
    if evidence.is_erds and erds is not None:
        return text("evidence-title-erds", language, code=erds.letter, event=event), f"{erds.letter} ({erds})"
    return text("evidence-title-other", language, event=event), event


def _event(evidence: Evidence, language: Language) -> str:
    code: KepCode | None = evidence.kep_code
    if code is not None:
        return text(f"evidence-{int(code)}", language)
    key = None if evidence.is_erds else _OTHER_EVENTS.get((evidence.element, evidence.event))
    if key is None and evidence.erds_event is not None:
        key = f"evidence-erds-{evidence.erds_event.lower()}"
    return text(key or "evidence-unknown", language, element=str(evidence.element), event=str(evidence.event))


def _reason(given: GivenReason, language: Language) -> str:
    known = isinstance(given.reason, Reason | ErdsReason) or given.reason in set(Reason)
    shown = text(f"evidence-reason-{given.reason.lower()}", language) if known else flat(given.reason)
    details = flat(given.details)
    told = f"{shown} ({details})" if details and details != shown else shown
    return f"{flat(given.code)}: {told}" if given.code else told


def _assurance(levels: tuple[Assurance, ...]) -> str:
    return ", ".join(flat(f"{each.level} {each.policy}") for each in levels)


def _authentication(authentication: Authentication | None, language: Language) -> str:
    if authentication is None:
        return ""
    method = authentication.method
    shown = text(f"evidence-method-{method.lower()}", language) if method in METHODS else flat(method)
    return f"{shown}, {show_time(authentication.time)}"


def _algorithm(details: MessageDetails) -> str:
    return flat(details.digest_algorithm).upper().replace("SHA", "SHA-", 1)
