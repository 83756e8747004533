"""Tree heads of the ledger: signed by the process key, stamped by a time-stamp authority, judged by anybody."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kepgw.errors import ConfigurationError, FormatError, SignatureInvalid
from kepgw.evidence.algorithms import stamp_over
from kepgw.evidence.ledger import Head, Statement
from kepgw.trust import cms, paths
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.keys import describe
from kepgw.trust.tokens import Stamped, read_token, verify_token

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


def verify_head(
    head: Head, domain: str, service_address: str, anchors: Sequence[bytes], intermediates: Sequence[bytes] = ()
) -> JudgedHead:
    """Judge a head of the ledger of ``domain``: signature, signer, chain at the time of the token, and the token.

    The signer's certificate has to name ``service_address``: another holder of a certificate below the same root
    cannot speak for the ledger. Empty takes any; the caller then shows who signed. Certificates are DER.
    Raises SignatureInvalid(check) or FormatError.
    """
    statement = head.read()
    if statement.domain != domain:
        raise SignatureInvalid(f"it is a head of the ledger of {statement.domain}, not of {domain}", "head")
    digests = {name: hashlib.new(name, head.statement).digest() for name in ("sha256", "sha384", "sha512")}
    reading = cms.verify(head.signature, digests, check="head-signature")
    stamped = hashlib.new(read_token(head.token).digest_algorithm, head.signature).digest()
    stamp = verify_token(head.token, stamped, anchors, intermediates)
    paths.validate(reading.signer, (*reading.certificates, *intermediates), anchors, stamp.time, usage="sign")
    try:
        addresses = describe(reading.signer, stamp.time).addresses
    except ConfigurationError as error:
        raise FormatError(str(error)) from error
    if service_address and service_address not in addresses:
        raise SignatureInvalid(f"it is signed by {', '.join(addresses) or 'a stranger'}", "head-signer")
    return JudgedHead(statement, reading.signer, stamp)
