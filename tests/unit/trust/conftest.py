"""A development PKI a kind of key, made once; and the golden messages beside the checkout."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from trust_samples import AT, ORIGINAL, evidence

from kepgw.evidence import ts102640, xades
from kepgw.message.envelope import OriginalPart, begin
from kepgw.trust import cms, devpki
from kepgw.trust.keys import load_key
from kepgw.trust.paths import load_anchors
from kepgw.trust.stamping import DevelopmentTsa

VECTORS = Path(__file__).parents[4] / "shared" / "vectors" / "etsi-rem-baseline"


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    """pki("p-256") -> the folder of the keys of that kind."""
    made: dict[str, Path] = {}

    def get(algorithm="p-256"):
        if algorithm not in made:
            directory = tmp_path_factory.mktemp(algorithm)
            devpki.create(directory, "hs90.kep.tr", "kep@hs90.kep.tr", algorithm=algorithm, at=AT)
            made[algorithm] = directory / "keys"
        return made[algorithm]

    return get


@pytest.fixture(scope="session")
def process_key(pki):
    def get(algorithm="p-256", signature=""):
        keys = pki(algorithm)
        return load_key(keys / "process.key", keys / "process.pem", keys / "intermediate.pem", algorithm=signature)

    return get


@pytest.fixture(scope="session")
def vectors():
    if not VECTORS.is_dir():
        pytest.skip("the golden messages (../shared/vectors) are not beside the checkout")
    return VECTORS


@pytest.fixture(scope="session")
def tsa(pki):
    """The development TSA of the P-256 provider, its clock standing still at AT."""
    keys = pki()
    return DevelopmentTsa(load_key(keys / "tsa.key", keys / "tsa.pem", purpose="tsa"), now=lambda: AT)


@pytest.fixture(scope="session")
def anchors(pki):
    return load_anchors([pki() / "root.pem"])


@pytest.fixture(scope="session")
def openssl():
    def run(*arguments, octets=None):
        return subprocess.run(["openssl", *map(str, arguments)], input=octets, capture_output=True, check=False)

    return run


@pytest.fixture(scope="session")
def make(process_key, tsa):
    """make(...) -> the octets of a dispatch, or of a receipt when original is None; each part can be spoilt."""

    def build(
        original=ORIGINAL,
        *,
        key=None,
        digest=None,
        headers=(),
        stamped=True,
        envelope_stamp=True,
        spoil=None,
        **changes,
    ):
        key = key or process_key()
        said = evidence(digest or hashlib.sha256(original or ORIGINAL).digest(), **changes)
        xml = xades.sign(ts102640.write(said), key, AT, tsa if stamped else None)
        if spoil:
            xml = spoil(xml)
        outer = [("From", "HS90 <kep@hs90.kep.tr>"), ("To", "<ali@hs91.kep.tr>"), ("Subject", "KEP")]
        inner = [
            ("X-REM-EvidenceIdentifier", said.identifier),
            ("X-REM-hashValue", base64.b64encode(said.message.digest).decode()),
            ("X-REM-EvidenceType", str(said.element)),
            *headers,
        ]
        form = original or b""
        part = OriginalPart(len(form), not form.isascii()) if original else None
        unsealed = begin(
            outer + inner, inner, ("Merhaba", "<p>Merhaba</p>"), part, [(f"{said.element}.xml", xml)], seed=b"1"
        )
        hashed = hashlib.sha256(unsealed.signed_head + form + unsealed.tail).digest()
        sealed = unsealed.seal(cms.sign_detached(hashed, key, AT, tsa if envelope_stamp else None))
        return unsealed.head + form + sealed

    return build
