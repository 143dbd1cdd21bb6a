"""Tests of how a report is put together from whole days and spans of the ledger."""

from collections import Counter
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.store.daily_sums import DAY_MS
from chatvault.store.report_plan import Piece, local_days, plan

_ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/Los_Angeles",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
]
_START = 20_000 * DAY_MS
# Fifteen minutes are the finest that any zone's offset needs.
_STEP = DAY_MS // 96


@given(
    st.sampled_from(_ZONES),
    st.integers(0, 400 * 96),
    st.integers(1, 6 * 96),
    st.integers(0, _STEP - 1),
)
def test_each_moment_is_counted_once_and_in_its_own_local_day(
    zone_name: str, start: int, length: int, offset: int
) -> None:
    zone = ZoneInfo(zone_name)
    since = _START + start * _STEP + offset
    until = since + length * _STEP
    found = plan(local_days(since, until, zone))
    # One moment a step, and the sums a database with these would have.
    moments = range(_START, until + 2 * DAY_MS, _STEP)
    counts: Counter[str] = Counter()
    for days in found.days:
        counts[days.bucket] += sum(days.first * DAY_MS <= at < days.end * DAY_MS for at in moments)
    for scan in found.scans:
        seen = sum(scan.start_ms <= at < scan.end_ms for at in moments)
        for bucket, sign in ((scan.gains, 1), (scan.loses, -1)):
            if bucket is not None:
                counts[bucket] += sign * seen
    wanted = Counter(
        datetime.fromtimestamp(at / 1000, zone).date().isoformat() for at in moments if since <= at < until
    )
    assert +counts == wanted
    assert all(count >= 0 for count in counts.values())


@given(st.integers(0, 30 * DAY_MS), st.integers(1, 30 * DAY_MS))
def test_no_more_than_half_a_day_is_read_at_each_end(since: int, length: int) -> None:
    found = plan([Piece("", since, since + length)])
    assert sum(scan.end_ms - scan.start_ms for scan in found.scans) <= DAY_MS


def test_a_span_of_whole_days_reads_no_row() -> None:
    found = plan([Piece("", 3 * DAY_MS, 10 * DAY_MS)])
    assert found.scans == ()
    assert [(days.first, days.end) for days in found.days] == [(3, 10)]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-07-01", 24)])
def test_a_local_day_is_as_long_as_the_clocks_make_it(day: str, hours: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    first = datetime.combine(date.fromisoformat(day) - timedelta(days=2), datetime.min.time(), zone)
    since = int(first.timestamp() * 1000)
    lengths = {
        piece.bucket: piece.end_ms - piece.start_ms for piece in local_days(since, since + 5 * DAY_MS, zone)
    }
    assert lengths[day] == hours * 3_600_000


def test_a_day_that_a_zone_left_out_has_no_piece() -> None:
    # Samoa went from 2011-12-29 to 2011-12-31.
    zone = ZoneInfo("Pacific/Apia")
    since = int(datetime(2011, 12, 29, tzinfo=zone).timestamp() * 1000)
    buckets = [piece.bucket for piece in local_days(since, since + 3 * DAY_MS, zone)]
    assert buckets == ["2011-12-29", "2011-12-31", "2012-01-01"]
