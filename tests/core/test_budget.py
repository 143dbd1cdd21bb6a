"""Tests of budgets as people write them, and of the days they are for."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.budget import Budget, Calendar, budget

BERLIN = ZoneInfo("Europe/Berlin")


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, *, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=zone).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "picousd", "per", "written"),
    [
        ("5/day", 5_000_000_000_000, "day", "5.00/day"),
        ("5.00/day", 5_000_000_000_000, "day", "5.00/day"),
        (" $0.003/month ", 3_000_000_000, "month", "0.003/month"),
        ("100 USD / total", 100_000_000_000_000, "total", "100.00/total"),
        ("0/total", 0, "total", "0.00/total"),
    ],
)
def test_a_budget_is_read_and_written(text: str, picousd: int, per: str, written: str) -> None:
    found = budget(text)
    assert (found.picousd, found.per, str(found)) == (picousd, per, written)
    assert budget(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["", "5", "5/week", "-1/day", "5,00/day", "1e3/day", "9999999.9/day", "0.0000000000001/day", "٣/day/"],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        budget(text)


@given(st.integers(0, 9_000_000 * 10**12), st.sampled_from(["day", "month", "total"]))
def test_any_budget_survives_being_written_down(picousd: int, per: str) -> None:
    found = Budget(picousd, per)  # type: ignore[arg-type]
    assert budget(str(found)) == found


def test_days_and_months_begin_in_the_zone() -> None:
    calendar = Calendar(BERLIN, ms(2026, 11, 25, 14, 30))
    assert (calendar.day_ms, calendar.day_ends_ms) == (ms(2026, 11, 25), ms(2026, 11, 26))
    assert (calendar.month_ms, calendar.month_ends_ms) == (ms(2026, 11, 1), ms(2026, 12, 1))


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 29), 23), ((2026, 10, 25), 25), ((2026, 12, 31), 24), ((2026, 2, 28), 24)]
)
def test_a_day_is_as_long_as_the_clocks_make_it(day: tuple[int, int, int], hours: int) -> None:
    calendar = Calendar(BERLIN, ms(*day, 12))
    assert calendar.day_ends_ms - calendar.day_ms == hours * 3_600_000


def test_midnight_begins_the_next_day_and_month() -> None:
    calendar = Calendar(BERLIN, ms(2026, 11, 30, 23, 59))
    calendar.advance(ms(2026, 12, 1))
    assert (calendar.day_ms, calendar.month_ms) == (ms(2026, 12, 1), ms(2026, 12, 1))


def test_a_clock_set_back_does_not_bring_yesterday_back() -> None:
    calendar = Calendar(BERLIN, ms(2026, 12, 1, 0, 5))
    calendar.advance(ms(2026, 11, 30, 23, 0))
    assert (calendar.day_ms, calendar.month_ms) == (ms(2026, 12, 1), ms(2026, 12, 1))


def test_a_clock_set_forward_skips_days() -> None:
    calendar = Calendar(BERLIN, ms(2026, 11, 25))
    calendar.advance(ms(2027, 1, 3, 9))
    assert (calendar.day_ms, calendar.month_ms) == (ms(2027, 1, 3), ms(2027, 1, 1))


@given(
    st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)), min_size=1),
    st.sampled_from(
        ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo", "UTC"]
    ),
)
def test_time_only_moves_forward_and_a_day_holds_its_moment(moments: list[datetime], name: str) -> None:
    times = [int(moment.replace(tzinfo=UTC).timestamp()) * 1000 for moment in moments]
    calendar = Calendar(ZoneInfo(name), times[0])
    latest = times[0]
    for time in times:
        before = calendar.day_ms, calendar.month_ms
        calendar.advance(time)
        latest = max(latest, time)
        assert (calendar.day_ms, calendar.month_ms) >= before
        assert calendar.month_ms <= calendar.day_ms <= latest < calendar.day_ends_ms <= calendar.month_ends_ms
        assert calendar.day_ends_ms - calendar.day_ms <= 26 * 3_600_000


def test_a_new_zone_holds_from_the_next_day_on() -> None:
    calendar = Calendar(BERLIN, ms(2026, 11, 25, 12))
    calendar.use(ZoneInfo("UTC"))
    calendar.advance(ms(2026, 11, 25, 13))
    assert calendar.day_ms == ms(2026, 11, 25)
    calendar.advance(ms(2026, 11, 26, 12))
    assert calendar.day_ms == ms(2026, 11, 26, zone=ZoneInfo("UTC"))
