"""Budgets as people write them (`5.00/day`), and the days and months they are for."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal, TypeAlias, cast, get_args
from zoneinfo import ZoneInfo

from chatvault.core.money import PICOUSD_PER_USD, picousd, usd_text

Per: TypeAlias = Literal["day", "month", "total"]

_BUDGET = re.compile(r"\$?(\d{1,7}(?:\.\d{1,12})?)\s*(?:USD)?\s*/\s*([a-z]+)")
# The ledger's sums are 64-bit: nine million dollars in picodollars.
_MOST_PICOUSD = 9_000_000 * PICOUSD_PER_USD


@dataclass(frozen=True, slots=True)
class Budget:
    """At most `picousd` picodollars a day, a month, or in all."""

    picousd: int
    per: Per

    def __post_init__(self) -> None:
        if not 0 <= self.picousd <= _MOST_PICOUSD:
            raise ValueError(f"a budget lies between 0 and {_MOST_PICOUSD // PICOUSD_PER_USD:,} USD")

    def __str__(self) -> str:
        return f"{usd_text(self.picousd, places=2)}/{self.per}"


def budget(text: str) -> Budget:
    """Read `5/day`, `20.00/month` or `100/total`, in USD. Raises ValueError."""
    match = _BUDGET.fullmatch(text.strip())
    if match is None or match[2] not in get_args(Per):
        raise ValueError(f"{text!r} is no budget; write 5.00/day, 20/month or 100/total")
    return Budget(picousd(Decimal(match[1])), cast(Per, match[2]))


class Calendar:
    """The day and the month that budgets are in, by their first moments (epoch ms): they only move forward.

    A clock that is set back doesn't give a spent day another time; one that is set forward begins the next.
    """

    __slots__ = ("_zone", "day_ends_ms", "day_ms", "month_ends_ms", "month_ms")

    def __init__(self, zone: ZoneInfo, now_ms: int) -> None:
        self._zone = zone
        self.day_ms = self.month_ms = 0
        self._begin(now_ms)

    def use(self, zone: ZoneInfo) -> None:
        """Let the days that follow the present one begin in `zone`."""
        self._zone = zone

    def advance(self, now_ms: int) -> None:
        """Begin a new day if the present one is over at `now_ms`."""
        if now_ms >= self.day_ends_ms:
            self._begin(now_ms)

    def ends_ms(self, per: Per) -> int | None:
        """Return when the present day or month ends; what is for all time has no end."""
        return {"day": self.day_ends_ms, "month": self.month_ends_ms, "total": None}[per]

    def _begin(self, now_ms: int) -> None:
        here = datetime.fromtimestamp(now_ms / 1000, self._zone)
        day = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        month = day.replace(day=1)
        # Local days have 23 to 25 hours, and local months 28 to 31 days.
        next_day = _midnight(day + timedelta(days=1))
        next_month = _midnight((month + timedelta(days=32)).replace(day=1))
        self.day_ms, self.month_ms = max(self.day_ms, _ms(day)), max(self.month_ms, _ms(month))
        # A zone that skips its midnight, or a new zone, must not leave an end that has passed already.
        self.day_ends_ms = max(_ms(next_day), now_ms + 1)
        self.month_ends_ms = max(_ms(next_month), self.day_ends_ms)


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
