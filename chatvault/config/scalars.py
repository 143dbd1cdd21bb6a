"""Single values as people write them: durations, sizes, numbers, dates, zones."""

import re
from datetime import date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

_DURATION = re.compile(r"(\d{1,9})\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE = re.compile(r"(\d[\d_]*)\s*([kKMG]i?)?B?")
_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_WHOLE = re.compile(r"[+-]?\d[\d_]*")
_DECIMAL = re.compile(r"[+-]?(\d[\d_]*)?(\.\d+)?([eE][+-]?\d{1,3})?")


def duration(text: str) -> timedelta:
    """Read `30s`, `15m`, `24h`, `90d` or `2w`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a duration such as 30s, 15m, 24h, 90d or 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def duration_text(value: timedelta) -> str:
    """Write a duration the way `duration` reads it, in the largest unit that fits."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def byte_size(text: str) -> int:
    """Read a number of bytes, plain or with kB, MB, GB, KiB, MiB or GiB. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError("expected a size such as 20000000, 20MB or 20MiB")
    unit = (match[2] or "").replace("K", "k")
    return int(match[1].replace("_", "")) * _FACTORS[unit]


def whole_number(text: str) -> int:
    """Read a whole number in decimal, digits grouped by _ if so liked. Raises ValueError."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"expected a whole number, got {text!r}")
    return int(text.replace("_", ""))


def decimal_number(text: str) -> Decimal:
    """Read a number exactly as it is written. Raises ValueError."""
    if not text or not any(char.isdigit() for char in text) or not _DECIMAL.fullmatch(text):
        raise ValueError(f"expected a number, got {text!r}")
    return Decimal(text.replace("_", ""))


def day(text: str) -> date:
    """Read a day such as 2026-11-01. Raises ValueError."""
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise ValueError(f"expected a day such as 2026-11-01, got {text!r}") from exc


def zone(text: str) -> ZoneInfo:
    """Find a time zone by its name, such as Europe/Berlin or UTC. Raises ValueError."""
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, KeyError) as exc:
        raise ValueError(f"there is no time zone {text!r}; expected a name such as Europe/Berlin") from exc
