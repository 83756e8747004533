"""The sections of the PDF, each from the model to what reportlab lays out."""

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, KeepTogether, LongTable, Paragraph, Spacer, Table

from kepgw.app.report import wording
from kepgw.app.report.model import Report, Sending, UsedCertificate
from kepgw.app.report.pieces import (
    WIDTH,
    Code,
    Seal,
    cell,
    english,
    facts,
    heading,
    heads,
    mark,
    pair,
    short,
    slanted,
    table,
    text,
)
from kepgw.app.report.style import (
    ALARM,
    ALARM_FILL,
    BODY,
    BULLET,
    CELL,
    FACTS,
    GOOD,
    GREY,
    LABEL,
    NOTE,
    OPEN,
    PLAIN,
    SHORT_ID,
    SMALL,
    SUBTITLE,
    TITLE,
    boxed,
)
from kepgw.texts import Text


def story(report: Report, seal: Seal) -> list[Flowable]:
    """Everything, in order."""
    rest = (_message, _recipients, _timeline, _proofs, _limits, _checks, _certificates, _ledger, _yourself)
    return [*_opening(report, seal), *(piece for section in rest for piece in section(report))]


def _opening(report: Report, seal: Seal) -> list[Flowable]:
    title = wording.both("title")
    qr = wording.both("qr")
    words = [
        Paragraph(text(title.tr), TITLE),
        Paragraph(text(title.en), SUBTITLE),
        Spacer(0, 5 * mm),
        Paragraph(report.short_id, SHORT_ID),
        Paragraph(pair(wording.both("of", name=f"{report.provider_name} ({report.provider})")), BODY),
    ]
    code = [Code(report.code_text, 30 * mm), Paragraph(pair(qr), SMALL)]
    top = Table([[words, code]], colWidths=(WIDTH - 46 * mm, 46 * mm), style=PLAIN)
    rows = [
        (wording.both("short-id"), Text(report.short_id, report.short_id)),
        (wording.both("provider"), Text(*[f"{report.provider_name} ({report.provider})"] * 2)),
        (wording.both("service-address"), Text(report.service_address, report.service_address)),
        (wording.both("made"), Text(*[f"{wording.local(report.made)}  ({wording.universal(report.made)})"] * 2)),
    ]
    sound = wording.outcome(report)
    colour = GOOD if report.sound else ALARM
    story: list[Flowable] = [top, Spacer(0, 4 * mm)]
    if report.development:
        warning = wording.both("development")
        story += [
            boxed(
                [Paragraph(f'<font color="{ALARM}"><b>{text(warning.tr)}</b><br/>{slanted(warning.en)}</font>', CELL)],
                (WIDTH,),
                ALARM,
                ALARM_FILL,
            ),
            Spacer(0, 3 * mm),
        ]
    story += [
        facts(rows),
        Spacer(0, 3 * mm),
        boxed(
            [Paragraph(f'<font color="{colour}"><b>{text(sound.tr)}</b><br/>{slanted(sound.en)}</font>', CELL)],
            (WIDTH,),
            colour,
        ),
        Spacer(0, 3 * mm),
        seal,
        Spacer(0, 3 * mm),
        Paragraph(pair(wording.both("not-authorised")), NOTE),
    ]
    return story


def _message(report: Report) -> list[Flowable]:
    message = report.message
    story = [*heading("message"), facts(wording.facts(report))]
    if message.attachments:
        rows = [
            [
                [cell(each.name), cell(each.type, SMALL)],
                cell(wording.size(each.size), SMALL),
                cell(each.digest or wording.both("attachment-unread"), SMALL),
            ]
            for each in message.attachments
        ]
        head = heads(wording.both("attachments"), wording.both("size"), wording.both("attachment-digest"))
        story += [Spacer(0, 3 * mm), table(head, rows, (60 * mm, 28 * mm, WIDTH - 88 * mm))]
        if message.attachments_left_out:
            story.append(Paragraph(pair(wording.both("more", count=message.attachments_left_out)), NOTE))
    return story


def _recipients(report: Report) -> list[Flowable]:
    story = heading("recipients")
    if not report.sendings:
        story.append(Paragraph(pair(wording.both("no-recipients")), BODY))
    for sending in report.sendings:
        story += [*_sending(sending), Spacer(0, 3 * mm)]
    return story


def _sending(sending: Sending) -> list[Flowable]:
    label = wording.both("kep-id")
    said = f'<font color="{GREY}">{text(label.tr)} / {slanted(label.en)}</font>  {text(sending.kep_id)}'
    if sending.blind:
        blind = wording.both("blind")
        said += f'<br/><font color="{OPEN}"><b>{text(blind.tr)}</b> / {slanted(blind.en)}</font>'
    rows = []
    for number, each in enumerate(sending.recipients, 1):
        colour = OPEN if each.good is None else GOOD if each.good else ALARM
        state = f'<font color="{colour}"><b>{text(each.state.tr)}</b></font><br/>{english(each.state.en)}'
        who = text(each.address) + (f"<br/>{text(each.name)}" if each.name else "")
        rows.append(
            [
                cell(str(number)),
                Paragraph(who, CELL),
                Paragraph(state, CELL),
                cell(", ".join(map(str, each.codes)) or "–"),
            ]
        )
    head = heads(wording.both("seq"), wording.both("recipient"), wording.both("state"), wording.both("evidence"))
    return [Paragraph(said, BODY), table(head, rows, (11 * mm, 68 * mm, WIDTH - 107 * mm, 28 * mm))]


def _timeline(report: Report) -> list[Flowable]:
    rows = []
    for each in report.happenings:
        what = f"<b>{each.code}</b>  {pair(each.title)}"
        if each.about:
            what += f"<br/>→ {short(each.about)}"
        if each.reason is not None:
            label = wording.both("reason")
            what += f'<br/><font color="{ALARM}">{text(label.tr)}: {pair(each.reason, apart=" / ")}</font>'
        what += f'<br/><font size="7" color="{GREY}">{short(each.identifier)}</font>'
        when = f"<b>{wording.local(each.time)}</b><br/>{wording.universal(each.time)}"
        label = wording.both("stamped-time")
        if each.stamped is None:
            stamp = f'<font color="{ALARM}">{pair(wording.both("no-stamp"))}</font>'
        else:
            stamp = f"{wording.local(each.stamped)}<br/>{wording.universal(each.stamped)}"
        issuer = text(each.issuer) + f'<br/><font color="{GREY}">{text(each.signer)}</font>'
        rows.append(
            [
                cell(str(each.seq)),
                Paragraph(what, CELL),
                Paragraph(when, SMALL),
                Paragraph(stamp, SMALL),
                Paragraph(issuer, SMALL),
            ]
        )
    head = heads(
        wording.both("record"),
        wording.both("event"),
        wording.both("event-time"),
        wording.both("stamped-time"),
        wording.both("issuer"),
    )
    widths = (15 * mm, WIDTH - 119 * mm, 36 * mm, 36 * mm, 32 * mm)
    return [*heading("timeline"), Paragraph(pair(wording.both("times-note")), NOTE), table(head, rows, widths)]


def _proofs(report: Report) -> list[Flowable]:
    rows = [[Paragraph(f"<b>{code}</b>", CELL), Paragraph(pair(said), CELL)] for code, said in wording.proofs(report)]
    story = heading("proves")
    if rows:
        story.append(LongTable(rows, colWidths=(11 * mm, WIDTH - 11 * mm), style=FACTS, splitInRow=1))
    return [*story, Spacer(0, 2 * mm), Paragraph(pair(wording.both("proves-integrity")), BODY)]


def _limits(report: Report) -> list[Flowable]:
    story = heading("limits")
    story += [Paragraph(pair(wording.both(f"limit-{key}")), BULLET, bulletText="–") for key in wording.LIMITS]
    law = wording.both("law")
    legal: list[Flowable] = [Spacer(0, 2 * mm), Paragraph(f"<b>{text(law.tr)}</b> / {english(law.en)}", BODY)]
    laws = [Paragraph(pair(wording.both(f"law-{key}")), BULLET, bulletText="–") for key in wording.LAWS]
    return [*story, KeepTogether([*legal, laws[0]]), *laws[1:]]


def _checks(report: Report) -> list[Flowable]:
    rows = []
    for each in report.verifications:
        name = f"{each.name}   <b>{each.code}</b>" if each.code is not None else text(each.name)
        marks = (each.signature, each.chain, each.revocation, each.stamp, each.digest, each.ledger)
        rows.append([Paragraph(name, CELL), *(mark(found) for found in marks)])
    columns = ("file", "signature", "chain", "revocation", "stamp", "digest", "ledger")
    head = heads(*(wording.both(f"column-{column}") for column in columns))
    width = 20 * mm
    story = [
        *heading("checks"),
        Paragraph(pair(wording.both("checked-at")), NOTE),
        table(head, rows, (WIDTH - 6 * width, *[width] * 6)),
    ]
    if report.findings:
        details = [
            [cell(each.of, SMALL), [cell(each.label, SMALL), mark(each.verdict)], cell(each.said, SMALL)]
            for each in report.findings
        ]
        head = heads(wording.both("column-file"), wording.both("findings"), Text("", ""))
        story += [Spacer(0, 3 * mm), table(head, details, (40 * mm, 45 * mm, WIDTH - 85 * mm))]
        if report.findings_left_out:
            story.append(Paragraph(pair(wording.both("more", count=report.findings_left_out)), NOTE))
    return story


def _certificate(each: UsedCertificate) -> Flowable:
    roles = " · ".join(f"{text(role.tr)} / {slanted(role.en)}" for role in map(_role, each.roles))
    mark = f'  <font color="{ALARM}"><b>DEVELOPMENT</b></font>' if each.development else ""
    rows = [
        ("subject", each.subject),
        ("issuer", each.issuer),
        ("serial", each.serial),
        ("validity", f"{wording.local(each.not_before)} – {wording.local(each.not_after)}"),
        ("fingerprint", each.fingerprint),
        ("key", each.key),
    ]
    cells = [
        [Paragraph(pair(wording.both(f"certificate-{key}"), apart=" / "), LABEL), cell(value, SMALL)]
        for key, value in rows
    ]
    table = Table(cells, colWidths=(58 * mm, WIDTH - 58 * mm), style=FACTS)
    return KeepTogether([Paragraph(f"<b>{roles}</b>{mark}", BODY), table, Spacer(0, 3 * mm)])


def _role(role: str) -> Text:
    return wording.both(f"role-{role}")


def _certificates(report: Report) -> list[Flowable]:
    return [*heading("certificates"), *(_certificate(each) for each in report.certificates)]


def _ledger(report: Report) -> list[Flowable]:
    ledger = report.ledger
    said = wording.both("ledger-text", domain=ledger.domain, size=ledger.size, seqs=wording.ranges(ledger.seqs))
    rows = [
        (wording.both("ledger-root"), Text(ledger.root, ledger.root)),
        (
            wording.both("ledger-head-time"),
            Text(*[f"{wording.local(ledger.time)}  ({wording.universal(ledger.time)})"] * 2),
        ),
        (wording.both("ledger-statement"), Text(ledger.statement_digest, ledger.statement_digest)),
        (wording.both("ledger-verdict"), wording.verdict(ledger.holds)),
    ]
    return [*heading("ledger"), Paragraph(pair(said), BODY), facts(rows)]


def _yourself(_: Report) -> list[Flowable]:
    steps = [
        Paragraph(pair(wording.both(f"how-{step}")), BULLET, bulletText=f"{number}.")
        for number, step in enumerate(wording.STEPS, 1)
    ]
    return [*heading("check-yourself"), *steps]
