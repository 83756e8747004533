from datetime import UTC, datetime

import pytest

from kepgw.accounts import passwords
from kepgw.store.accounts import add_account
from kepgw.store.engine import Store

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.sqlite")
    yield store
    store.close()


@pytest.fixture
def account(store):
    credentials = passwords.Credentials("a", "s")
    return store.write_now(lambda tx: add_account(tx, "ali@hs90.kep.tr", "Ali", credentials, AT))
