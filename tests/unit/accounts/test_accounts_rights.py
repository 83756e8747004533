from kepgw.accounts.rights import ALL, NONE, Right, names


def test_rights_are_given_one_by_one():
    rights = Right.READ | Right.ARCHIVE
    assert Right.READ in rights
    assert Right.SEND not in rights
    assert names(rights) == ["read", "archive"]


def test_the_numbers_in_the_store_do_not_change():
    assert {right.name: int(right) for right in Right} == {"READ": 1, "SEND": 2, "DELETE": 4, "ARCHIVE": 8}
    assert int(ALL) == 15


def test_a_row_reads_back():
    assert Right(5) == Right.READ | Right.DELETE
    assert names(NONE) == []
    assert Right.READ not in NONE
