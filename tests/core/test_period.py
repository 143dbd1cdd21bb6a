"""Spans of time as people write them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from chatvault.core.period import instant

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("now", "2026-11-23T00:30:00+00:00"),
        ("7d", "2026-11-16T00:30:00+00:00"),
        ("90m", "2026-11-22T23:00:00+00:00"),
        ("today", "2026-11-22T23:00:00+00:00"),
        ("yesterday", "2026-11-21T23:00:00+00:00"),
        ("2026-11-01", "2026-10-31T23:00:00+00:00"),
        ("2026-07-01", "2026-06-30T22:00:00+00:00"),
        ("2026-11-01T08:00", "2026-11-01T07:00:00+00:00"),
        ("2026-11-01T08:00Z", "2026-11-01T08:00:00+00:00"),
    ],
)
def test_a_time_is_found(text: str, found: str) -> None:
    assert instant(text, NOW, zone=BERLIN) == datetime.fromisoformat(found)


def test_today_began_at_midnight_on_the_day_the_clocks_change() -> None:
    now = datetime(2026, 10, 25, 12, tzinfo=UTC)

    assert instant("today", now, zone=BERLIN) == datetime(2026, 10, 24, 22, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "7", "7y", "-7d", "2026-13-01", "999999w"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        instant(text, NOW, zone=BERLIN)
