"""Keywords of the message in Gönderilmiş."""

import pytest

from kepgw.journey import summary
from kepgw.journey.summary import keywords
from kepgw.store.mailboxes import SERVER_KEYWORDS


@pytest.mark.parametrize(
    ("proofs", "found"),
    [
        ([], ""),
        ([""], ""),
        (["10"], "$KepKabul"),
        (["11"], "$KepRed"),
        (["10 20", "10"], "$KepKabul $KepIletildi"),  # on the first
        (["10 21", "10 20"], "$KepKabul $KepIletildi $KepTeslimEdilemedi"),
        (["10 31", "10"], "$KepKabul $KepTeslimEdilemedi"),
        (["10 20 41"], "$KepKabul $KepIletildi $KepTeslimEdilemedi"),
        (["10 40", "10"], "$KepKabul"),  # delivered and read only when all are
        (["10 40", "10 40"], "$KepKabul $KepTeslim"),
        (["10 40 60", "10 40"], "$KepKabul $KepTeslim"),
        (["10 60", "10 40"], "$KepKabul $KepTeslim"),  # 60 proves delivery where 40 has not come yet
        (["10 40 60", "10 60"], "$KepKabul $KepTeslim $KepOkundu"),
        (["10 40", "11"], "$KepKabul $KepRed"),  # a refused recipient never gets it
        (["10 31 40"], "$KepKabul $KepTeslimEdilemedi $KepTeslim"),  # late: both stand
    ],
)
def test_keywords(proofs, found):
    assert keywords(frozenset(each.split()) for each in proofs) == set(found.split())


def test_clients_can_set_none_of_them():
    assert set(summary.KEYWORDS) == SERVER_KEYWORDS
