"""Capability and Security Information (EN 319 532-4 C.6 to C.12): what a listed service can do, and its TLS pin.

Its place is the https supply point of the service's entry in a trusted list. Signed by the operator of the list or by
the service itself: which of them no text fixes, so either is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kepgw.errors import FormatError, ListRefused
from kepgw.evidence.markup import parse
from kepgw.trust.listxml import certificate, moment, next_update, number, only, signed_by, words

CSI: Final = "http://uri.etsi.org/19532/v1#"
ROOT: Final = f"{{{CSI}}}CapabilityAndSecurityInformation"
METADATA: Final = "{http://uri.etsi.org/19522/v1#}ERDSMetadata"
MAX_CSI: Final = 1 << 20  # octets
REM_BASELINE: Final = "http://uri.etsi.org/19532/v1#/REMbaseline"
MAX_PROFILES: Final = 20


@dataclass(frozen=True, slots=True)
class Capabilities:
    """One edition of a service's file. ``host`` is its MX host (ERDSDomain); ``tls_certificate`` is DER."""

    sequence: int
    issued: datetime
    next_update: datetime | None
    governing_body: str
    host: str
    profiles: tuple[str, ...]
    tls_certificate: bytes


def open_capabilities(octets: bytes, signers: Sequence[bytes]) -> Capabilities:
    """A file that one of ``signers`` (DER) has signed. Raises ListRefused."""
    if len(octets) > MAX_CSI:
        raise ListRefused(f"a file of {len(octets)} octets, more than {MAX_CSI}")
    signed_by(octets, signers)
    return read_capabilities(octets)


def read_capabilities(octets: bytes) -> Capabilities:
    """What a file says, its signature not looked at. Raises ListRefused."""
    try:
        root = parse(octets, MAX_CSI).getroot()
        if root.tag != ROOT:
            raise FormatError(f"not a capability file but {str(root.tag)[:100]}")
        scheme = only(root, _csi("SchemeData"))
        metadata = only(only(root, _csi("CapabilityMetadata")), METADATA)
        security = only(only(root, _csi("SecurityMetadata")), _csi("CapabilityBasedSecurity"))
        return Capabilities(
            sequence=number(only(scheme, _csi("CSISequenceNumber"))),
            issued=moment(only(scheme, _csi("CSIIssueDateTime"))),
            next_update=next_update(only(scheme, _csi("CSINextUpdate"))),
            governing_body=words(only(metadata, "ERDSGoverningBody")),
            host=words(only(metadata, "ERDSDomain")).lower().rstrip("."),
            profiles=tuple(words(each) for each in metadata.findall("ERDSProfileSupported")[:MAX_PROFILES]),
            tls_certificate=certificate(only(security, _csi("TLSCertificate"))),
        )
    except FormatError as error:
        raise ListRefused(str(error)) from error


def _csi(tag: str) -> str:
    return f"{{{CSI}}}{tag}"
