from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from kepgw.store.ids import micros, moment, month_of, new_id

AT = datetime(2026, 1, 31, 21, 30, tzinfo=UTC)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_come_back_to_the_microsecond(at):
    assert moment(micros(at)) == at


def test_identifiers_of_one_millisecond_are_all_different():
    made = [new_id(AT) for _ in range(50_000)]
    assert len(set(made)) == len(made)
    assert all(0 < each < 1 << 62 for each in made)


def test_identifiers_grow_with_time():
    assert new_id(AT) < new_id(AT + timedelta(milliseconds=1)) < new_id(AT + timedelta(days=29000))


def test_the_month_is_that_of_utc():
    istanbul = timezone(timedelta(hours=3))
    assert month_of(datetime(2026, 2, 1, 0, 30, tzinfo=istanbul)) == 202601
    assert month_of(AT) == 202601
