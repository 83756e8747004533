"""PAdES signatures of PDF files in two steps, so that the key never meets the PDF (EN 319 142-1, ISO 32000-1 12.8).

``prepare`` lays out the signature dictionary and gives the digest of what is to be signed; whoever has the key makes
a detached CAdES signature over that digest (``cms.sign_detached`` without a signing time, with a stamp: B-T);
``complete`` puts it in place. pyHanko knows PDF; it takes 0.3 s to import, so it is imported when it is used.
"""

import io
from datetime import datetime
from typing import NamedTuple

FIELD = "KepgwSignature"
RESERVED = 48 * 1024  # octets for signature, chain and token; a chain of six and a token are below 20 KB

Box = tuple[int, int, int, int]


class Prepared(NamedTuple):
    """A PDF with a place for its signature: ``digest`` is what is signed, ``start`` to ``end`` the place."""

    octets: bytes
    digest: bytes
    start: int
    end: int


def prepare(
    pdf: bytes, digest: str, at: datetime, *, name: str, reason: str, page: int = 0, box: Box | None = None
) -> Prepared:
    """Lay out a certifying signature that forbids every later change (ISO 32000-1 12.8.2.2, P = 1).

    ``digest`` is a hashlib name, that of the signing key's algorithm. ``at`` is the claimed time (entry M, EN 319
    142-1 6.3); ``name`` and ``reason`` are for people. ``box`` is where a viewer finds the signature on ``page``, in
    points; nothing is drawn there: the page says it already.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter  # noqa: PLC0415
    from pyhanko.sign.fields import MDPPerm, SigFieldSpec, SigSeedSubFilter  # noqa: PLC0415
    from pyhanko.sign.signers.cms_embedder import (  # noqa: PLC0415
        PdfCMSEmbedder,
        SigIOSetup,
        SigMDPSetup,
        SigObjSetup,
    )
    from pyhanko.sign.signers.pdf_byterange import SignatureObject  # noqa: PLC0415

    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    embedding = PdfCMSEmbedder(new_field_spec=SigFieldSpec(FIELD, on_page=page, box=box)).write_cms(FIELD, writer)
    next(embedding)
    placeholder = SignatureObject(
        subfilter=SigSeedSubFilter.PADES, timestamp=at, name=name, reason=reason, bytes_reserved=2 * RESERVED
    )
    embedding.send(
        SigObjSetup(placeholder, mdp_setup=SigMDPSetup(digest, certify=True, docmdp_perms=MDPPerm.NO_CHANGES))
    )
    written = io.BytesIO()
    place, _ = embedding.send(SigIOSetup(md_algorithm=digest, output=written))
    return Prepared(written.getvalue(), place.document_digest, place.reserved_region_start, place.reserved_region_end)


def complete(prepared: Prepared, signature: bytes) -> bytes:
    """The signed PDF. ``signature`` is the DER ContentInfo. Raises ValueError when it does not fit the place."""
    room = prepared.end - prepared.start - 2
    written = signature.hex().upper().encode("ascii")
    if len(written) > room:
        raise ValueError(f"a signature of {len(signature)} octets does not fit into {room // 2}")
    whole = bytearray(prepared.octets)
    whole[prepared.start + 1 : prepared.start + 1 + len(written)] = written
    return bytes(whole)
