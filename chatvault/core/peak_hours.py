"""When DeepSeek's peak prices hold.

Peak is Monday to Friday, 01:00–04:00 and 06:00–10:00 UTC, Chinese public holidays excepted
(https://api-docs.deepseek.com/quick_start/pricing, read 2026-11-23). Those hours lie within one day in
Beijing and in UTC alike, so a date means the same in both. Working days that make up for a bridge day fall on
weekends, and weekends are never peak.
"""

from datetime import date, timedelta
from enum import Enum

RULE = "Mon-Fri 01:00-04:00 and 06:00-10:00 UTC, Chinese public holidays excepted"

# First and last day of each public holiday in 2026, from the State Council's notice of November 2025
# (https://www.gov.cn/gongbao/2025/issue_12406/202511/content_7048922.html) as chinesecalendar 1.11.0 and
# holidays 0.109 have it, compared on 2026-11-25. The notice for a year comes out late in the year before.
_HOLIDAYS = (
    (date(2026, 1, 1), date(2026, 1, 3)),  # New Year
    (date(2026, 2, 15), date(2026, 2, 23)),  # Spring Festival
    (date(2026, 4, 4), date(2026, 4, 6)),  # Qingming
    (date(2026, 5, 1), date(2026, 5, 5)),  # Labour Day
    (date(2026, 6, 19), date(2026, 6, 21)),  # Dragon Boat Festival
    (date(2026, 9, 25), date(2026, 9, 27)),  # Mid-Autumn Festival
    (date(2026, 10, 1), date(2026, 10, 7)),  # National Day
)
_TABLE_BEGINS = date(2026, 1, 1)
_TABLE_ENDS = date(2027, 1, 1)

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# What a working day is made of: until when (in milliseconds of the day), and whether that is peak.
_STRETCHES = tuple(
    (hour * _HOUR_MS, is_peak)
    for hour, is_peak in ((1, False), (4, True), (6, False), (10, True), (24, False))
)


class Peak(Enum):
    """Which price holds over a span of time.

    UNCERTAIN is a working hour of a year whose holidays aren't in the table, or a span that touches both.
    """

    OFF = "off"
    ON = "on"
    UNCERTAIN = "uncertain"


def _epoch_day(day: date) -> int:
    return (day - date(1970, 1, 1)).days


_KNOWN_DAYS = range(_epoch_day(_TABLE_BEGINS), _epoch_day(_TABLE_ENDS))
_HOLIDAY_DAYS = frozenset(
    _epoch_day(first + timedelta(days=offset))
    for first, last in _HOLIDAYS
    for offset in range((last - first).days + 1)
)


def peak_over(started_ms: int, finished_ms: int) -> Peak:
    """Say which price holds from `started_ms` to `finished_ms` (epoch milliseconds, both included).

    DeepSeek doesn't publish which instant of a request counts, so a span that touches peak and off-peak time
    is uncertain.
    """
    peak, end_ms = _segment(started_ms)
    while end_ms <= finished_ms:
        following, end_ms = _segment(end_ms)
        if following is not peak:
            return Peak.UNCERTAIN
    return peak


def _segment(at_ms: int) -> tuple[Peak, int]:
    """Return what holds at an instant, and when the clock next reaches a boundary."""
    day, of_day_ms = divmod(at_ms, _DAY_MS)
    # 1970-01-01 was a Thursday.
    if (day + 3) % 7 >= 5 or day in _HOLIDAY_DAYS:
        return Peak.OFF, (day + 1) * _DAY_MS
    until_ms, is_peak = next(stretch for stretch in _STRETCHES if of_day_ms < stretch[0])
    end_ms = day * _DAY_MS + until_ms
    if not is_peak:
        return Peak.OFF, end_ms
    return (Peak.ON if day in _KNOWN_DAYS else Peak.UNCERTAIN), end_ms
