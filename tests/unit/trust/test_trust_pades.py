"""PAdES: our two steps against two validators that are not ours, and every altered octet."""

import io
import subprocess
from datetime import UTC, datetime

import pytest
from asn1crypto import cms as asn1
from asn1crypto import x509
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko.sign.validation.settings import KeyUsageConstraints
from pyhanko_certvalidator import ValidationContext
from reportlab.pdfgen.canvas import Canvas

from kepgw.trust import cms, devpki, pades
from kepgw.trust.algorithms import SIGNATURES
from kepgw.trust.devtsa import DevelopmentTsa
from kepgw.trust.keys import load_certificates, load_key
from kepgw.trust.stamping import TsaOrder

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
OIDS = {"signing_time": "1.2.840.113549.1.9.5", "stamp": "1.2.840.113549.1.9.16.2.14"}


@pytest.fixture(scope="module", params=["rsa-2048", "p-256"])
def keys(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    devpki.create(folder, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm=request.param)
    return folder / "keys"


@pytest.fixture(scope="module")
def plain():
    written = io.BytesIO()
    canvas = Canvas(written)
    canvas.drawString(100, 700, "Delil")
    canvas.showPage()
    canvas.save()
    return written.getvalue()


def sign(pdf, keys, **arguments):
    key = load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem")
    stamp = TsaOrder([DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"))])
    digest = SIGNATURES[key.algorithm].digest
    prepared = pades.prepare(pdf, digest, AT, name="Sağlayıcı hs90", reason="Deneme", **arguments)
    return pades.complete(prepared, cms.sign_detached(prepared.digest, key, None, stamp))


def judge(signed, keys):
    """pyHanko's verdict."""
    (root,) = load_certificates(keys / "root.pem")
    from cryptography.hazmat.primitives.serialization import Encoding

    context = ValidationContext(
        trust_roots=[x509.Certificate.load(root.public_bytes(Encoding.DER))], allow_fetching=False
    )
    (found,) = PdfFileReader(io.BytesIO(signed)).embedded_signatures
    usage = KeyUsageConstraints(key_usage={"digital_signature"})
    return found, validate_pdf_signature(found, context, context, key_usage_settings=usage)


@pytest.mark.oracle
def test_pyhanko_and_pdfsig_accept(plain, keys, tmp_path):
    signed = sign(plain, keys, box=(50, 50, 200, 100))
    found, status = judge(signed, keys)
    assert status.bottom_line
    assert status.coverage.name == "ENTIRE_FILE"
    assert status.trusted
    assert status.timestamp_validity.valid
    assert status.timestamp_validity.trusted
    assert found.docmdp_level.name == "NO_CHANGES"
    (tmp_path / "a.pdf").write_bytes(signed)
    said = subprocess.run(["pdfsig", tmp_path / "a.pdf"], capture_output=True, text=True).stdout
    assert "Signature is Valid." in said
    assert "ETSI.CAdES.detached" in said
    assert "Total document signed" in said


def test_the_baseline_profile(plain, keys):
    """EN 319 142-1 6.3, B-B and B-T: what must and must not stand in dictionary and CMS."""
    found, _ = judge(sign(plain, keys), keys)
    dictionary = found.sig_object
    assert dictionary["/SubFilter"] == "/ETSI.CAdES.detached"
    assert "/M" in dictionary
    assert "/Cert" not in dictionary
    info = asn1.ContentInfo.load(found.pkcs7_content)["content"]["signer_infos"][0]
    signed = {each["type"].dotted for each in info["signed_attrs"]}
    assert OIDS["signing_time"] not in signed
    assert {"1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.16.2.47"} <= signed
    assert OIDS["stamp"] in {each["type"].dotted for each in info["unsigned_attrs"]}


def test_one_altered_octet_is_found(plain, keys):
    signed = sign(plain, keys)
    spot = signed.index(b"stream\n") + 12  # in the page that was there before
    altered = bytearray(signed)
    altered[spot] ^= 1
    assert not judge(bytes(altered), keys)[1].intact


def test_what_is_added_behind_is_found(plain, keys):
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(sign(plain, keys)))
    writer.root["/Lang"] = __import__("pyhanko.pdf_utils.generic", fromlist=["x"]).pdf_string("en")
    writer.update_root()
    added = io.BytesIO()
    writer.write(added)
    assert not judge(added.getvalue(), keys)[1].bottom_line


def test_a_signature_that_does_not_fit(plain):
    prepared = pades.prepare(plain, "sha256", AT, name="x", reason="y")
    with pytest.raises(ValueError, match="does not fit"):
        pades.complete(prepared, b"0" * (pades.RESERVED + 1))
