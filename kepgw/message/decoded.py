"""How large a message is before transfer encoding: what the size limit of KEP is measured on."""

from kepgw.message.rendering import Rendered
from kepgw.message.structure import Part, load


def content_octets(rendered: Rendered, size: int) -> int:
    """Octets of a message with its base64 parts counted as what they encode; never more than ``size``.

    An estimate from the structure alone (RFC 2045 6.8: four characters for three octets, CRLF every line): the
    octets themselves are not decoded.
    """
    return size - _saved(load(rendered.tree))


def _saved(part: Part) -> int:
    if part.children:
        return sum(_saved(child) for child in part.children)
    if part.encoding != "base64":
        return 0
    characters = part.size * 76 // 78  # lines of 76 and their CRLF, as every client writes them
    return part.size - characters * 3 // 4
