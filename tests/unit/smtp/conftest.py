"""Fixtures of the SMTP tests; the servers and their fake desks stand in smtp_house."""

import pytest
from smtp_house import House, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def house(tmp_path, certificate):
    """Makes the servers: ``async with house() as servers``."""
    return lambda **limits: House(tmp_path, certificate, **limits)
