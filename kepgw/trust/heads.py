"""Tree heads of the ledger: signed by the process key, stamped by a time-stamp authority, judged by anybody."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kepgw.errors import SignatureInvalid, Sub
from kepgw.evidence.algorithms import stamp_over
from kepgw.evidence.ledger import Head, Statement
from kepgw.trust import cms
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.certificates import summary
from kepgw.trust.judgement import Check, Value
from kepgw.trust.speaking import addresses, owns
from kepgw.trust.tokens import Stamped
from kepgw.trust.trusted import Trusted, unsigned

if TYPE_CHECKING:
    from kepgw.evidence.xades import Signer, Stamp


@dataclass(frozen=True, slots=True)
class JudgedHead:
    """A head that holds: what it says, who signed it (DER), and the stamp that fixes when."""

    statement: Statement
    signer: bytes
    stamp: Stamped


def sign_head(statement: Statement, signer: "Signer", stamp: "Stamp") -> Head:
    """Sign and stamp a statement at its own time. Raises what ``signer`` and ``stamp`` raise.

    The signature is a detached CAdES B-B over the statement's octets; the token stamps the signature's octets.
    """
    octets = statement.octets()
    digest = hashlib.new(SIGNATURES[signer.algorithm].digest, octets).digest()
    signature = cms.sign_detached(digest, signer, statement.time)
    return Head(octets, signature, stamp_over(signature, stamp))


def judge_head(
    head: Head, trusted: Trusted, at: datetime | None = None, service_address: str = ""
) -> tuple[list[Check], JudgedHead | None]:
    """The checks of a head: signature, path, stamp, and whether its signer speaks for the ledger's owner.

    Another holder of a certificate below the same root cannot: it has to name ``service_address``, or without one an
    address of the domain that the head names. The head is given when signature and stamp hold. Raises FormatError for
    a statement that cannot be read.
    """
    said = head.read()
    digests = {name: hashlib.new(name, head.statement).digest() for name in ("sha256", "sha384", "sha512")}
    try:
        reading = cms.verify(head.signature, digests, check="head-signature")
    except SignatureInvalid as error:
        return [Check("head-signature", "bad", str(error), error.sub), *unsigned("head", "no signature")], None
    values: dict[str, Value] = {"name": summary(reading.signer).name, "algorithm": reading.algorithm}
    values |= {"records": said.size, "domain": said.domain}
    checks = [Check("head-signature", "ok", reading.algorithm, None, "head", values, reading.signer)]
    stamp_checks, stamp = trusted.stamp("head", head.token, head.signature)
    moment = at or (datetime.now(UTC) if stamp is None else stamp.time)
    proved = at is not None or stamp is not None
    checks += trusted.chain("head", reading.signer, reading.certificates, moment, proved=proved)
    checks += [*stamp_checks, _owner(reading.signer, said.domain, service_address.lower())]
    return checks, None if stamp is None else JudgedHead(said, reading.signer, stamp)


def verify_head(
    head: Head, domain: str, service_address: str, anchors: Sequence[bytes], intermediates: Sequence[bytes] = ()
) -> JudgedHead:
    """``judge_head`` for who needs one answer about a head of the ledger of ``domain``; certificates are DER.

    Raises SignatureInvalid(check) for the first thing that does not hold, or FormatError.
    """
    said = head.read()
    if said.domain != domain:
        raise SignatureInvalid(f"it is a head of the ledger of {said.domain}, not of {domain}", "head")
    checks, judged = judge_head(head, Trusted(tuple(anchors), tuple(intermediates)), None, service_address)
    for check in checks:
        if check.verdict == "bad" or (judged is None and check.name == "head-stamp"):
            raise SignatureInvalid(check.detail, check.name, check.sub or Sub.NO_POE)
    assert judged is not None
    return judged


def _owner(signer: bytes, domain: str, service_address: str) -> Check:
    named = addresses(signer)
    values: dict[str, Value] = {"domain": domain, "name": ", ".join(named)[:200] or summary(signer).name}
    good = service_address in named if service_address else any(owns(domain.lower(), each) for each in named)
    if good:
        return Check("head-signer", "ok", values=values)
    sub = Sub.NO_SIGNING_CERTIFICATE_FOUND
    return Check("head-signer", "bad", f"it is signed by {values['name']}", sub, "stranger", values, signer)
