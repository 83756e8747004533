"""A development PKI a kind of key, made once; and the golden messages beside the checkout."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kepgw.trust import devpki
from kepgw.trust.keys import load_key

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
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
