"""Spans of time as people write them: `7d`, `today`, `2026-11-01`."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_AGO = re.compile(r"(\d{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def instant(text: str, now: datetime, *, zone: ZoneInfo) -> datetime:
    """Return the instant `text` names; days begin at midnight in `zone`.

    `now`, `today`, `yesterday`, `7d` (as long ago; also m, h, w), a day or an ISO time, which is in `zone`
    unless it names another. Raises ValueError.
    """
    here = now.astimezone(zone)
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "now":
        return now
    if text == "today":
        return midnight
    if text == "yesterday":
        return midnight - timedelta(days=1)
    try:
        if match := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as exc:
        raise ValueError(
            f"{text!r} is no time; write 7d, 24h, today, yesterday, 2026-11-01 or 2026-11-01T08:00"
        ) from exc
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)
