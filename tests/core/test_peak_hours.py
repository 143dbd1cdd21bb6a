from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.peak_hours import Peak, peak_over

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def at(text: str) -> Peak:
    return peak_over(ms(text), ms(text))


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        # Wednesday 2026-11-25, every boundary from both sides.
        ("2026-11-25T00:59:59.999", Peak.OFF),
        ("2026-11-25T01:00", Peak.ON),
        ("2026-11-25T03:59:59.999", Peak.ON),
        ("2026-11-25T04:00", Peak.OFF),
        ("2026-11-25T05:59:59.999", Peak.OFF),
        ("2026-11-25T06:00", Peak.ON),
        ("2026-11-25T09:59:59.999", Peak.ON),
        ("2026-11-25T10:00", Peak.OFF),
        ("2026-11-25T23:59:59.999", Peak.OFF),
        # Monday and Friday are working days, Saturday and Sunday are not.
        ("2026-11-23T02:00", Peak.ON),
        ("2026-11-27T02:00", Peak.ON),
        ("2026-11-28T02:00", Peak.OFF),
        ("2026-11-29T08:00", Peak.OFF),
        # National Day is a Thursday; Wednesday the 7th is still free and Thursday the 8th is not.
        ("2026-10-01T02:00", Peak.OFF),
        ("2026-10-07T08:00", Peak.OFF),
        ("2026-10-08T08:00", Peak.ON),
        # Spring Festival begins on a Sunday and ends on a Monday.
        ("2026-02-16T02:00", Peak.OFF),
        ("2026-02-23T02:00", Peak.OFF),
        ("2026-02-24T02:00", Peak.ON),
        # Saturday 10 October makes up for a bridge day: worked, and off-peak like any Saturday.
        ("2026-10-10T02:00", Peak.OFF),
        # The holidays of 2027 aren't known here; its nights and weekends are off-peak whatever they are.
        ("2026-12-31T09:00", Peak.ON),
        ("2027-01-04T02:00", Peak.UNCERTAIN),
        ("2027-01-04T20:00", Peak.OFF),
        ("2027-01-02T02:00", Peak.OFF),
        ("2025-12-31T02:00", Peak.UNCERTAIN),
    ],
)
def test_peak_is_what_the_provider_prints(instant: str, expected: Peak) -> None:
    assert at(instant) is expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-25T00:59", "2026-11-25T01:01", Peak.UNCERTAIN),
        ("2026-11-25T03:59", "2026-11-25T04:01", Peak.UNCERTAIN),
        ("2026-11-25T03:00", "2026-11-25T07:00", Peak.UNCERTAIN),
        ("2026-11-25T01:00", "2026-11-25T03:59", Peak.ON),
        ("2026-11-25T04:00", "2026-11-25T05:59", Peak.OFF),
        # Off-peak on both sides of midnight, and through a weekend.
        ("2026-11-24T23:59", "2026-11-25T00:01", Peak.OFF),
        ("2026-11-27T10:00", "2026-11-30T00:59", Peak.OFF),
        ("2026-11-27T10:00", "2026-11-30T01:00", Peak.UNCERTAIN),
    ],
)
def test_a_span_that_touches_both_prices_is_uncertain(start: str, end: str, expected: Peak) -> None:
    assert peak_over(ms(start), ms(end)) is expected


def test_a_clock_that_was_set_back_leaves_the_start_to_decide() -> None:
    assert peak_over(ms("2026-11-25T01:00"), ms("2026-11-25T00:30")) is Peak.ON


@given(
    st.integers(ms("2026-08-17T00:00"), ms("2027-02-01T00:00")),
    st.integers(0, 3 * DAY_MS),
)
def test_a_span_has_one_price_exactly_when_every_minute_of_it_has(start: int, length: int) -> None:
    marks = [*range(start, start + length, 15 * 60_000), start + length]
    # Whole quarters of an hour are among the marks, and all boundaries are whole hours.
    marks += range(-(-start // HOUR_MS) * HOUR_MS, start + length + 1, HOUR_MS)
    seen = {peak_over(mark, mark) for mark in marks}
    assert peak_over(start, start + length) is (seen.pop() if len(seen) == 1 else Peak.UNCERTAIN)
