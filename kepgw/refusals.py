"""Every rule that refuses input, in one table: SMTP reply, evidence reason, text key.

The sentence on the wire is the English text ``refusal-<key>`` of the catalogue; the Turkish one stands beside it in
evidence mail. Enhanced codes follow RFC 3463; evidence reasons are the fragments of TS 102 640-2 Annex E.
"""

from typing import NamedTuple

from kepgw.errors import KepError
from kepgw.texts import Language, text


class Rule(NamedTuple):
    """What a refusal by this rule looks like outside."""

    code: int  # SMTP reply code, RFC 5321 4.2.3
    enhanced: str  # RFC 3463
    reason: str  # TS 102 640-2 Annex E fragment, for evidence 11, 21 and 41


REFUSALS: dict[str, Rule] = {
    # the octets of the message
    "line-too-long": Rule(554, "5.6.0", "InvalidMessageFormat"),  # RFC 5322 2.1.1
    "bare-line-end": Rule(554, "5.6.0", "InvalidMessageFormat"),  # RFC 5321 2.3.8
    "nul-octet": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "bcc-header": Rule(554, "5.6.0", "InvalidMessageFormat"),  # sealing byte for byte would show it
    "from-header": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "bad-header": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "message-id": Rule(550, "5.6.0", "InvalidMessageFormat"),
    "message-id-reused": Rule(550, "5.6.0", "PolicyViolation"),
    "last-chunk": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "too-large": Rule(552, "5.3.4", "PolicyViolation"),
    "etebligat": Rule(550, "5.7.1", "PolicyViolation"),  # since 2019 UETS carries it: Law 7101 m.48
    "malware": Rule(554, "5.7.1", "MalwareFound"),
    # who sends
    "tls-required": Rule(530, "5.7.0", "PolicyViolation"),  # RFC 3207 4
    "auth-required": Rule(530, "5.7.0", "PolicyViolation"),  # RFC 4954 6
    "auth-failed": Rule(535, "5.7.8", "PolicyViolation"),  # RFC 4954 6
    "login-locked": Rule(454, "4.7.0", "PolicyViolation"),  # RFC 4954 6
    "rate": Rule(451, "4.7.1", "PolicyViolation"),
    "account-disabled": Rule(550, "5.7.1", "PolicyViolation"),
    "no-send-right": Rule(550, "5.7.1", "PolicyViolation"),
    "quota-exceeded": Rule(552, "5.2.2", "PolicyViolation"),  # RFC 3463 3.3
    "sender-not-account": Rule(553, "5.7.1", "PolicyViolation"),
    "from-not-account": Rule(550, "5.7.1", "PolicyViolation"),
    # the sender's own signature
    "user-signature-missing": Rule(550, "5.7.1", "InvalidUserSignature"),
    "user-signature-invalid": Rule(554, "5.7.7", "InvalidUserSignature"),  # RFC 3463 3.8: message integrity failure
    "user-certificate-untrusted": Rule(550, "5.7.1", "InvalidUserSignature"),
    "user-certificate-unusable": Rule(550, "5.7.1", "UserCertExpiredOrRevoked"),
    # to whom
    "no-recipients": Rule(554, "5.5.1", "InvalidMessageFormat"),
    "too-many-recipients": Rule(452, "4.5.3", "PolicyViolation"),  # RFC 5321 4.5.3.1.10
    "not-kep-address": Rule(550, "5.1.3", "InvalidMessageFormat"),
    "unknown-provider": Rule(550, "5.1.2", "R_REMMD_NotIdenified"),
    "provider-ended": Rule(550, "5.1.2", "R_REMMD_NotIdenified"),
    "no-peer": Rule(550, "5.1.2", "R_REMMD_NotIdenified"),
    "recipient-peer-out": Rule(550, "5.1.2", "R_REMMD_NotIdenified"),
    "unknown-recipient": Rule(550, "5.1.1", "UnknownRecipient"),
    "recipient-closed": Rule(550, "5.2.1", "UnknownRecipient"),
    # between providers
    "unknown-peer": Rule(550, "5.7.1", "PolicyViolation"),
    "client-certificate": Rule(550, "5.7.1", "PolicyViolation"),
    "peer-out": Rule(550, "5.7.1", "PolicyViolation"),
    "peer-unknown": Rule(451, "4.7.1", "TechnicalMalfunction"),
    "foreign-recipient": Rule(550, "5.7.1", "PolicyViolation"),
    "not-an-envelope": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "envelope-invalid": Rule(554, "5.7.7", "InvalidUserSignature"),
    "envelope-signer": Rule(554, "5.7.7", "InvalidUserSignature"),
    "envelope-revoked": Rule(554, "5.7.7", "UserCertExpiredOrRevoked"),  # TS 102 640-2 Annex E, code 4
    "envelope-not-listed": Rule(554, "5.7.7", "PolicyViolation"),  # EN 319 532-4 C.2.3.3.3
    "speaks-for-another": Rule(554, "5.7.1", "PolicyViolation"),
    "recipient-not-named": Rule(554, "5.6.0", "InvalidMessageFormat"),
    "unknown-message": Rule(550, "5.6.0", "PolicyViolation"),
    # ours to mend
    "store-full": Rule(452, "4.3.1", "TechnicalMalfunction"),
    "try-later": Rule(451, "4.3.0", "TechnicalMalfunction"),
    "scanner-down": Rule(451, "4.7.1", "TechnicalMalfunction"),
    "signing-unavailable": Rule(451, "4.3.5", "TechnicalMalfunction"),
    "too-busy": Rule(421, "4.3.2", "TechnicalMalfunction"),
}


class Refusal(KepError):
    """A rule refuses the input. ``key`` names it in REFUSALS; ``reason`` is private and goes to the log."""

    def __init__(self, key: str, reason: str, **values: object) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.rule = REFUSALS[key]
        self.values = values

    def sentence(self, language: Language = "en") -> str:
        """What a person can act on, in one sentence."""
        return text(f"refusal-{self.key}", language, **self.values)

    @property
    def reply(self) -> str:
        """The SMTP reply without CRLF: code, enhanced code, sentence (RFC 2034)."""
        return f"{self.rule.code} {self.rule.enhanced} {self.sentence()}"
