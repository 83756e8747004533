"""The structure of a REM message as lines: what can be compared between a published message and one of ours.

Read with the standard library, lxml and asn1crypto, not with our own readers.
"""

import email
from collections import Counter
from collections.abc import Iterator
from email.message import Message

from asn1crypto import cms
from lxml import etree

TRACE = {"received", "return-path"}  # added on the way (RFC 5321 4.4)
_XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
_PREFIXES = {
    "http://uri.etsi.org/19522/v1#": "tns:",
    "http://uri.etsi.org/19532/v1#": "ext:",
    "http://uri.etsi.org/01903/v1.3.2#": "xades:",
    "http://www.w3.org/2000/09/xmldsig#": "ds:",
    "http://www.w3.org/2002/06/xmldsig-filter2": "filter2:",
    "urn:oasis:names:tc:SAML:2.0:assertion": "saml:",
    "": "",
}
# attributes and texts that are no identifiers and no values of one message
_FIXED_ATTRIBUTES = {"Algorithm", "Filter", "Type", "NameFormat", "FriendlyName", "Name", "IdentifierSchemeName"}
_FIXED_TEXTS = {"filter2:XPath", "xades:MimeType", "ComposingParts", "ContentType"}


def lines(octets: bytes) -> list[str]:
    """Header names in order, the MIME tree, the evidence element by element, the CMS: one line each."""
    message = email.message_from_bytes(octets)
    found = [f"header {name}" for name in message if name.lower() not in TRACE]
    found += _mime(message, "mime")
    for part in _leaves(message):
        if part.get_content_type() == "application/xml":
            found += _xml(etree.fromstring(part.get_payload(decode=True)), "", 1)
        if part.get_content_type() == "application/pkcs7-signature":
            found += _cms(part.get_payload(decode=True))
    return found


def _leaves(message: Message) -> Iterator[Message]:
    if message.get_content_maintype() != "multipart":
        yield message
        return
    for part in message.get_payload():
        yield from _leaves(part)


def _parameters(part: Message, header: str) -> str:
    """A structured value with its parameters in any order; of a boundary only that it is there."""
    (value, _), *rest = part.get_params(header=header)
    told = sorted(name if name == "boundary" else f"{name}={text.lower()}" for name, text in rest if name)
    return "; ".join((value.lower(), *told))


def _mime(part: Message, place: str) -> Iterator[str]:
    yield f"{place} type {_parameters(part, 'content-type')}"
    names = {name.lower() for name in part}
    for name in sorted(names & {"content-transfer-encoding", "content-description", "rem-section-type"}):
        yield f"{place} {name} {part[name].lower()}"
    for name in sorted(names & {"x-rem-section-type"}):
        yield f"{place} {name}"
    if "content-disposition" in names:
        yield f"{place} disposition {_parameters(part, 'content-disposition')}"
    if part.get_content_maintype() == "multipart":
        for number, child in enumerate(part.get_payload(), 1):
            yield from _mime(child, f"{place}.{number}")


def _xml(element: etree._Element, place: str, of: int) -> Iterator[str]:
    """An element with its attributes, how many of its name stand beside it, and its children in order."""
    name = etree.QName(element)
    here = f"{place}/{_PREFIXES[name.namespace or '']}{name.localname}"
    told = [
        f"{key}={value}" if key in _FIXED_ATTRIBUTES else key.rpartition("}")[2] + ("=" + value) * (key == _XSI_TYPE)
        for key, value in sorted(element.attrib.items())
    ]
    text = f" {element.text}" if here.rpartition("/")[2] in _FIXED_TEXTS else ""
    yield f"xml {here} x{of} [{', '.join(told)}]{text}"
    children = list(element.iterchildren(etree.Element))
    count = Counter(child.tag for child in children)
    for child in children:
        yield from _xml(child, here, count[child.tag])


def _cms(der: bytes) -> Iterator[str]:
    data = cms.ContentInfo.load(der)["content"]
    (signer,) = data["signer_infos"]
    yield f"cms version {data['version'].native}, detached {data['encap_content_info']['content'].native is None}"
    yield f"cms digests {[each['algorithm'].native for each in data['digest_algorithms']]}"
    yield f"cms certificates {len(data['certificates'])}"
    yield f"cms signer by {signer['sid'].name}, {signer['signature_algorithm'].signature_algo}"
    yield from sorted(f"cms signed {each['type'].dotted}" for each in signer["signed_attrs"])
    for each in (signer["unsigned_attrs"].native and signer["unsigned_attrs"]) or ():
        yield f"cms unsigned {each['type'].dotted}"
