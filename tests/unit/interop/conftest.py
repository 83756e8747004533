"""Three development providers, made once; a house of hs90 for each test."""

import pytest
from interop_house import HS90, HS91, HS92, PROVIDERS, House, Identities

from kepgw.trust import devpki


@pytest.fixture(scope="session")
def identities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("providers")
    for domain in PROVIDERS:
        devpki.create(folder / domain, domain, f"kep@{domain}", algorithm="p-256")
    return Identities(folder)


@pytest.fixture
def bench(identities):
    """The bench of the honest peer hs91."""
    return identities.benches[HS91]


@pytest.fixture
async def house(identities, tmp_path):
    house = await House(identities, tmp_path / HS90).start()
    await house.know(HS91, HS92)
    yield house
    house.close()
