"""What ``kepgw doctor`` says of the archive, and of the places that tree heads are sent to."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from kepgw.app.archives import sinks
from kepgw.app.commands.access import ask
from kepgw.app.config import Config
from kepgw.app.finding import Finding
from kepgw.errors import KepError


def examine_archive(config: Config, at: datetime) -> Iterator[Finding]:
    """Whether archive time stamps are made and renewed in time, and heads arrive."""
    try:
        found = ask(config.directory, "archive_status")
    except KepError:
        return  # told as the store's
    every = timedelta(seconds=config.archive.every)
    last = None if found["last"] is None else datetime.fromisoformat(found["last"])
    ends = None if found["protected_until"] is None else datetime.fromisoformat(found["protected_until"])
    remedy = "see the log, then try: kepgw archive now"
    if found["waiting"] and last is not None and last + 2 * every < at:
        yield Finding("warning", "archive", f"{found['waiting']} records wait since {last:%Y-%m-%d %H:%M}", remedy)
    elif ends is not None and ends < at:
        yield Finding("problem", "archive", f"its time stamps held until {ends:%Y-%m-%d}", "kepgw archive renew")
    elif ends is not None and ends < at + timedelta(days=config.archive.renew_days) / 2:
        remedy = "ask the time-stamp authority for its next certificate, then: kepgw archive renew"
        yield Finding("warning", "archive", f"its time stamps hold until {ends:%Y-%m-%d} only", remedy)
    else:
        yield Finding("ok", "archive", f"{found['groups']} records are under archive time stamps")
    named = {each.name for each in sinks(config)}
    for each in found["sinks"]:
        if each["name"] in named and each["error"]:
            yield Finding(
                "warning", "tree heads", f"{each['name']}: {each['error']}", "mend the place; it is tried again"
            )
    if not named and not config.provider.development:
        yield Finding(
            "warning",
            "tree heads",
            "no signed head leaves this machine",
            "name a place in ledger.head_folders or ledger.head_commands",
        )
