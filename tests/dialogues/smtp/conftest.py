"""Fixtures of the SMTP dialogues; the servers and their fake desks stand in tests/unit/smtp/smtp_house.py."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "unit" / "smtp"))

from smtp_house import House, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def house(tmp_path, certificate):
    """Makes the servers: ``async with house() as servers``."""
    return lambda **limits: House(tmp_path, certificate, **limits)
