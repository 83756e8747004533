"""``kepgw doctor``: what a provider needs, looked at one by one, and what to do about each finding.

Nothing is changed: the only things made are one time stamp, and a file in the spool that is removed at once;
certificates and lists that a start of the provider would keep are kept.
"""

import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from kepgw.app import control
from kepgw.app.commands.access import ask
from kepgw.app.config import Config, load, missing_files
from kepgw.app.doctor_archive import examine_archive
from kepgw.app.doctor_keys import examine_keys
from kepgw.app.doctor_lists import examine_lists
from kepgw.app.doctor_malware import examine_malware
from kepgw.app.doctor_ports import examine_ports
from kepgw.app.doctor_stamps import examine_stamps
from kepgw.app.doctor_trust import examine_trust
from kepgw.app.expirywatch import EARLY, URGENT
from kepgw.app.finding import Finding, Level, lifetime
from kepgw.errors import ConfigurationError, KepError
from kepgw.trust.devpki import MARK
from kepgw.trust.keys import describe, load_certificates
from kepgw.trust.tls import server_context
from kepgw.trust.useranchors import UserAnchors

LOW_DISK, NO_DISK = 5 << 30, 1 << 29  # free octets: 5 GiB to warn, 512 MiB is a problem
LATE: Final = timedelta(hours=1)  # work that is due so long deserves a look


def examine(directory: Path, now: datetime | None = None) -> Iterator[Finding]:
    """All findings about the provider of ``directory``. Raises ConfigurationError when its settings are unusable."""
    at = now or datetime.now(UTC)
    config = load(directory)
    yield Finding("ok", "configuration", f"{config.directory / 'kepgw.toml'} for {config.provider.domain}")
    if config.provider.development:
        yield Finding(
            "warning",
            "development",
            "provider.development is true: every evidence says that it has no legal effect",
            "set it to false when real keys and a real time-stamp authority are in place",
        )
    else:
        yield from _development_keys(config)
    yield from _files(config)
    yield from examine_keys(config, at)
    yield from _tls(config, at)
    yield from (Finding(*each) for each in examine_stamps(config, at, lifetime))
    yield from _users(config, at)
    yield from examine_malware(config)
    yield from _store(config)
    yield from examine_archive(config, at)
    yield from _disk(config)
    yield from _spool(config)
    running = control.answers(config.directory / control.SOCKET)
    for what, problem, remedy in examine_ports(config, running=running):
        yield Finding("problem" if remedy else "ok", what, problem, remedy)
    yield from _peers(config)
    yield from examine_trust(config, at)
    yield from examine_lists(config)


def _development_keys(config: Config) -> Iterator[Finding]:
    """Development keys without the policy that denies legal effect would be a lie in every evidence."""
    keys = config.keys
    for path in dict.fromkeys((*keys.process_certificates, *keys.tls_certificates, *config.trust.anchors)):
        try:
            marked = any(MARK in each.subject.rfc4514_string() for each in load_certificates(path))
        except ConfigurationError:
            continue  # told as a missing file
        if marked:
            yield Finding(
                "problem",
                "development",
                f"provider.development is false, but {path} is a development certificate",
                "put real keys in place, or set provider.development = true",
            )


def _files(config: Config) -> Iterator[Finding]:
    missing = missing_files(config)
    for sentence in missing:
        setting, _, rest = sentence.partition(": ")
        detail, _, remedy = rest.partition("; ")
        yield Finding("problem", setting, detail, remedy)
    if not missing:
        yield Finding("ok", "files", "every file of the configuration can be read")
    secret = [config.directory, *_process_secrets(config), config.keys.tls_key, config.store_path]
    if any(tsa.kind == "development" for tsa in config.tsa):
        secret.append(config.keys.tsa_key)
    open_ones = [path for path in secret if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    open_ones += [path for tsa in config.tsa for path in tsa.secrets if path.exists() and path.stat().st_mode & 0o077]
    for path in open_ones:
        yield Finding("problem", "rights", f"{path} is open to other users", f"chmod go= {path}")
    if not open_ones:
        yield Finding("ok", "rights", "keys and store are closed to other users")


def _process_secrets(config: Config) -> Iterator[Path]:
    for each in config.keys.process:
        if each.key is not None:
            yield each.key
        elif each.pkcs11 is not None and each.pkcs11.pin_file is not None:
            yield each.pkcs11.pin_file


def _tls(config: Config, at: datetime) -> Iterator[Finding]:
    what = "TLS certificate"
    leaf, *chain = config.keys.tls_certificates
    try:
        server_context(leaf, config.keys.tls_key, chain)
        certificate = load_certificates(leaf)[0]
    except ConfigurationError as error:
        yield Finding("problem", what, str(error), "correct keys.tls_key and keys.tls_certificates, or their files")
        return
    yield Finding("ok", what, "fits its key")
    until = certificate.not_valid_after_utc
    if at < certificate.not_valid_before_utc:
        yield Finding(
            "problem", what, f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}", "check the clock"
        )
        return
    yield lifetime(what, (until - at).days, until, "renew it and send your new card to every peer: they pin it")


def _users(config: Config, at: datetime) -> Iterator[Finding]:
    """Whom we believe about users' certificates."""
    what, rule, folder = "user signatures", config.submission.require_signature, config.submission.trust_anchors
    if rule == "off":
        level: Level = "ok" if config.provider.development else "warning"
        remedy = "" if level == "ok" else 'set submission.require_signature = "require": sending needs a NES'
        yield Finding(level, what, "not looked at", remedy)
        return
    believed = UserAnchors(folder).current()
    for problem in believed.problems:
        yield Finding("warning", what, problem, "replace or remove the file")
    for anchor in believed.anchors:
        told = describe(anchor, at)
        if told.days_left < 0:
            yield Finding("warning", what, f"{told.subject} ended {told.not_after:%Y-%m-%d}", "remove it, or renew it")
    if believed.anchors:
        files = f"{len(believed.anchors)} authorities, {len(believed.crls) + len(believed.responses)} revocation files"
        yield Finding("ok", what, f"{rule}; {files} in {folder}")
    else:
        level = "problem" if rule == "require" else "warning"
        remedy = "put the certificates of the qualified authorities (ESHS) there"
        yield Finding(level, what, f"{rule}, but {folder} holds no certificate: no sender's can be believed", remedy)


def _store(config: Config) -> Iterator[Finding]:
    try:
        found = ask(config.directory, "store_check")
    except KepError as error:
        yield Finding("problem", "store", str(error), "see the sentence; restore a backup if the file is damaged")
        return
    if found["sound"]:
        yield Finding("ok", "store", f"{config.store_path} is sound")
    else:
        yield Finding(
            "problem", "store", "; ".join(found["findings"])[:400], "stop the provider, keep the file, restore a backup"
        )
    due, oldest = found["due"], timedelta(seconds=found["oldest_seconds"] or 0)
    debt = f"{due} tasks are due, {found['signing']} of them await signature or time stamp"
    if due and oldest > LATE:
        remedy = f"see kepgw queue list; last error: {found['last_error'] or 'none'}"
        yield Finding("warning", "queue", f"{debt}, the oldest since {oldest}", remedy)
    else:
        yield Finding("ok", "queue", debt if due else "nothing is due")


def _disk(config: Config) -> Iterator[Finding]:
    free = shutil.disk_usage(config.store_path.parent).free
    detail = f"{free / (1 << 30):.1f} GiB free for {config.store_path.parent}"
    if free < LOW_DISK:
        remedy = "make room: a full disk refuses messages with 452 until there is some"
        yield Finding("problem" if free < NO_DISK else "warning", "disk", detail, remedy)
    else:
        yield Finding("ok", "disk", detail)


def _spool(config: Config) -> Iterator[Finding]:
    spool = config.directory / config.store.spool
    if not spool.exists():
        yield Finding("ok", "spool", f"{spool} will be made at the start")
        return
    try:
        with tempfile.TemporaryFile(dir=spool) as file:
            file.write(b"\0")
    except OSError as error:
        yield Finding("problem", "spool", f"cannot write in {spool} ({error.strerror})", "correct owner and rights")
        return
    yield Finding("ok", "spool", f"{spool} can be written")


def _peers(config: Config) -> Iterator[Finding]:
    try:
        peers = ask(config.directory, "peer_list")
    except KepError:
        return  # the store has told
    if not peers:
        yield Finding("ok", "peers", "none yet: kepgw peer add takes a provider's card")
    for peer in peers:
        what = f"peer {peer['domain']}"
        known = config.known_providers.get(peer["domain"])
        if known is not None and known.state == "ended":
            yield Finding("warning", what, "has ended; nothing goes there", f"kepgw peer remove {peer['domain']}")
            continue
        fine = True
        for name in _expiring(peer["process_days_left"], peer["tls_days_left"]):
            fine = False
            days = peer[f"{name}_days_left"]
            state = f"{name} certificate has ended" if days < 0 else f"{name} certificate: {days} days left"
            level: Level = "problem" if days <= URGENT else "warning"
            yield Finding(level, what, state, "ask for the peer's new card and take it in with kepgw peer add")
        if fine:
            yield Finding("ok", what, f"relay {peer['relay']}, certificates hold")


def _expiring(process: int, tls: int | None) -> Iterable[str]:
    """Those that end soon; a TLS certificate below an authority is not known before it is met."""
    return [name for name, days in (("process", process), ("tls", tls)) if days is not None and days <= EARLY]
