"""A submission and an IMAP server over a real store, with certificates made on the spot."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kepgw.accounts import passwords
from kepgw.accounts.guard import GuardSettings, LoginGuard
from kepgw.imap.server import ImapServer
from kepgw.imap.session import Limits as ImapLimits
from kepgw.smtp.limits import Limits
from kepgw.smtp.submission import SubmissionServer
from kepgw.store import accounts
from kepgw.store.engine import Store
from kepgw.store.login import Logins
from kepgw.trust.tls import server_context

ALI, PASSWORD = "ali@hs90.kep.tr", "cok gizli parola"
AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


@dataclass
class Desk:
    """Takes everything, remembers who sent it."""

    taken: list

    def ready(self):
        pass

    async def sender(self, operator, address):
        pass

    async def recipient(self, operator, address, remote):
        return address.lower()

    async def submit(self, submission):
        self.taken.append((submission.operator.login, submission.remote, submission.recipients))
        return f"T{len(self.taken)}"


class Front:
    """``async with Front(...)``: ports by name, ``taken`` of the desk."""

    def __init__(self, folder: Path, pki: Path, *, client_anchors=(), guard=None, **limits):
        self.folder = folder
        self.tls = server_context(pki / "tls.pem", pki / "tls.key", (), client_anchors)
        self.guard = LoginGuard(guard or GuardSettings(delay=0.0))
        self.limits = limits
        self.desk = Desk([])
        self.port = {}

    @property
    def taken(self):
        return self.desk.taken

    async def __aenter__(self):
        self.store = Store.open(self.folder / "store.sqlite")
        credentials = passwords.make(PASSWORD)
        await self.store.write(lambda tx: accounts.add_account(tx, ALI, "Ali", credentials, AT))
        logins = Logins(self.store, guard=self.guard)
        known = {name: value for name, value in self.limits.items() if name in ImapLimits.__dataclass_fields__}
        self.smtp = SubmissionServer(
            self.desk, logins, hostname="hs90.kep.tr", spool_folder=self.folder, limits=Limits(**self.limits)
        )
        self.imap = ImapServer(self.store, logins, now=lambda: AT, spool=self.folder, limits=ImapLimits(**known))
        self.port["smtps"] = await self.smtp.start("127.0.0.1", 0, self.tls, True)
        self.port["smtp"] = await self.smtp.start("127.0.0.1", 0, self.tls, False)
        self.port["imaps"] = await self.imap.start("127.0.0.1", 0, self.tls, None)
        return self

    async def __aexit__(self, *_):
        await self.smtp.stop(0.5)
        await self.imap.stop(0.5)
        self.store.close()


def client_context(certificate=None, key=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
