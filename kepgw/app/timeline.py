"""The way of one message per recipient, built from rows of the store: as data, and as text for people.

Pure: rows and a time in, data out. A proof is the signed evidence; what stands here is where to find it.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kepgw.evidence.codes import KEP_CODES, KepCode
from kepgw.evidence.render import show_time
from kepgw.store.messages import Dispatch, EvidenceRow, Message, Recipient
from kepgw.store.tasks import AWAITING_SIGNATURE, AWAITING_STAMP, SIGN, TIMER, Task
from kepgw.texts import LANGUAGES, Language, text

_OF_ALL = frozenset({10, 11})  # speak of the whole submission
_AWAITED = {"time-stamp": AWAITING_STAMP, "signature": AWAITING_SIGNATURE}
_OF_PROVIDER = frozenset({20, 21})  # without a recipient they speak of all that their issuer has


def summary(message: Message, states: Mapping[str, int]) -> dict[str, Any]:
    """One line of the list of messages; ``states`` counts the recipients in each state."""
    return {
        "number": str(message.id),  # a string: JSON readers may hold numbers as doubles
        "month": message.month,
        "t0": _iso(message.t0),
        "direction": message.direction,
        "sender": message.sender,
        "subject": message.subject,
        "message_id": message.ua_message_id,
        "size": message.size,
        "state": message.state,
        "recipients": dict(states),
    }


def build(
    message: Message,
    dispatches: Sequence[tuple[Dispatch, Sequence[Recipient]]],
    evidences: Sequence[EvidenceRow],
    tasks: Sequence[Task],
    at: datetime,
) -> dict[str, Any]:
    """Everything that is known of a message, JSON-able; times are ISO 8601 UTC, evidence in the order of its time."""
    # whole seconds, as evidence XML has them; within one, the codes follow the way of the message
    in_time = sorted(evidences, key=lambda row: (row.event_time.replace(microsecond=0), row.code))
    return {
        "number": str(message.id),
        "month": message.month,
        "message_id": message.ua_message_id,
        "direction": message.direction,
        "peer": message.peer,
        "sender": message.sender,
        "sender_name": message.sender_name,
        "subject": message.subject,
        "t0": _iso(message.t0),
        "size": message.size,
        "digest": message.digest.hex(),
        "state": message.state,
        "shown_at": _iso(at),
        "dispatches": [
            {
                "remmd_id": dispatch.remmd_id,
                "evidence_id": dispatch.evidence_id,
                "blind": dispatch.blind,
                "profile": dispatch.profile,
                "state": dispatch.state,
                "waiting": [
                    task_data(task, at) for task in tasks if task.dispatch == dispatch.id and task.ordinal is None
                ],
                "recipients": [
                    {
                        "ordinal": recipient.ordinal,
                        "address": recipient.address,
                        "name": recipient.name,
                        "provider": recipient.provider,
                        "state": recipient.state.value,
                        "state_tr": text(f"state-{recipient.state.value}", "tr"),
                        "state_en": text(f"state-{recipient.state.value}", "en"),
                        "proofs": sorted(recipient.proofs),
                        "evidence": [evidence_data(row) for row in in_time if _speaks_of(row, dispatch.id, recipient)],
                        "waiting": [
                            task_data(task, at)
                            for task in tasks
                            if task.dispatch == dispatch.id and task.ordinal == recipient.ordinal
                        ],
                    }
                    for recipient in recipients
                ],
            }
            for dispatch, recipients in dispatches
        ],
        "evidence": [evidence_data(row) for row in in_time if row.dispatch is None],
        "waiting": [task_data(task, at) for task in tasks if task.dispatch is None],
    }


def evidence_data(row: EvidenceRow) -> dict[str, Any]:
    """An evidence of the ledger; ``seq`` is its number at this provider, ``ordinal`` the recipient it refers to."""
    rule = KEP_CODES.get(KepCode(row.code)) if row.code in set(KepCode) else None
    known = f"evidence-{row.code}" if rule else ""
    return {
        "seq": row.seq,
        "id": row.id,
        "code": row.code,
        "element": str(rule.element) if rule else "",
        "title_tr": text(known, "tr") if known else str(row.code),
        "title_en": text(known, "en") if known else str(row.code),
        "issuer": row.issuer,
        "own": row.own,
        "ordinal": row.ordinal,
        "time": _iso(row.event_time),
        "reason": row.reason,
    }


def task_data(task: Task, at: datetime) -> dict[str, Any]:
    """A piece of waiting work; ``age_seconds`` counts from when it entered the queue."""
    return {
        "task": task.id,
        "kind": task.kind.value,
        "what_tr": text(f"task-{task.kind.value}", "tr"),
        "what_en": text(f"task-{task.kind.value}", "en"),
        "peer": "" if task.lane in {SIGN, TIMER} else task.lane,
        "lane": task.lane,
        "message": str(task.message),
        "due": _iso(task.due),
        "deadline": None if task.deadline is None else _iso(task.deadline),
        "attempts": task.attempts,
        "awaits": next((name for name, begins in _AWAITED.items() if task.last_error.startswith(begins)), ""),
        "last_error": task.last_error,
        "held": task.held,
        "age_seconds": max(0, int((at - task.created).total_seconds())),
    }


def show(data: Mapping[str, Any]) -> str:
    """The timeline for people, Turkish beside English; lines end in LF."""
    origin = [] if data["direction"] == "out" else [f"  {_label('show-peer')}: {data['peer']}"]
    lines = [
        f"{_label('show-message')}: {data['number']}  {_flat(data['message_id'])}".rstrip(),
        *origin,
        f"  {_label('show-from')}: {_flat(data['sender_name'])} <{_flat(data['sender'])}>".replace(":  <", ": <"),
        f"  {_label('show-subject')}: {_flat(data['subject'])}",
        f"  {_label('show-t0')}: {_time(data['t0'])}",
        f"  SHA-256: {data['digest']}  ({data['size']} B)",
    ]
    lines += [line for row in data["evidence"] for line in _evidence(row, "  ")]
    lines += [line for task in data["waiting"] for line in _waiting(task, "  ")]
    for dispatch in data["dispatches"]:
        lines += [
            "",
            f"{_label('show-blind' if dispatch['blind'] else 'show-dispatch')}: {_flat(dispatch['remmd_id'])}",
        ]
        lines += [line for task in dispatch["waiting"] for line in _waiting(task, "  ")]
        for recipient in dispatch["recipients"]:
            name = _flat(recipient["name"])
            lines += [
                f"  {recipient['ordinal']}. {name + ' ' if name else ''}<{_flat(recipient['address'])}>",
                f"     {recipient['state_tr']} / {recipient['state_en']}",
            ]
            lines += [line for row in recipient["evidence"] for line in _evidence(row, "     ")]
            lines += [line for task in recipient["waiting"] for line in _waiting(task, "     ")]
    return "\n".join(lines) + "\n"


def _evidence(row: Mapping[str, Any], indent: str) -> Iterable[str]:
    titles = f"{row['title_tr']} / {row['title_en']}"
    yield f"{indent}{_time(row['time'])}  {row['code']}  {titles}  ({_flat(row['issuer'])})"
    if row["reason"]:
        yield f"{indent}    {_reason(row['reason'], 'tr')} / {_reason(row['reason'], 'en')}"


def _waiting(task: Mapping[str, Any], indent: str) -> Iterable[str]:
    yield f"{indent}{_label('show-waiting')}: {task['what_tr']} / {task['what_en']}, {_time(task['due'])}"
    if task["awaits"]:
        yield f"{indent}    {_label('show-awaits-' + task['awaits'])}"
    if task["last_error"]:
        yield f"{indent}    {_label('show-attempts')}: {task['attempts']}; {_flat(task['last_error'])}"


def _label(key: str) -> str:
    return " / ".join(text(key, language) for language in LANGUAGES)


def _reason(reason: str, language: Language) -> str:
    fragment = reason.rpartition("#")[2]
    try:
        return text(f"evidence-reason-{fragment.lower()}", language)
    except KeyError:
        return _flat(fragment)


def _speaks_of(row: EvidenceRow, dispatch: int, recipient: Recipient) -> bool:
    """Whether an evidence speaks of a recipient: named by its index, or one of all that its issuer speaks for."""
    if row.dispatch != dispatch:
        return False
    if row.ordinal is not None:
        return row.ordinal == recipient.ordinal
    if row.code in _OF_ALL:
        return True
    if row.code in _OF_PROVIDER:
        return row.issuer == recipient.provider and str(row.code) in recipient.proofs
    return str(row.code) in recipient.proofs


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(iso: str) -> str:
    return show_time(datetime.fromisoformat(iso))


def _flat(value: str) -> str:
    """What a stranger wrote, on one line and without control characters that a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in value)
