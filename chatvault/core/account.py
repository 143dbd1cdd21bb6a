"""What one access token, one user, or everyone together may use and has used."""

from typing import Literal, TypeAlias

from chatvault.core.budget import Budget, Calendar, Per
from chatvault.core.limits import Limits
from chatvault.core.rate import Bucket

Kind: TypeAlias = Literal["token", "user", "everyone"]


class Account:
    """What one access token, one user, or everyone together may use and has used."""

    __slots__ = (
        "_day_held",
        "_day_ms",
        "_day_spent",
        "_month_held",
        "_month_ms",
        "_month_spent",
        "_total_held",
        "_total_spent",
        "budget",
        "concurrency",
        "kind",
        "name",
        "requests",
        "running",
        "tokens",
    )

    def __init__(self, kind: Kind, name: str, calendar: Calendar) -> None:
        self.kind = kind
        self.name = name
        self.budget: Budget | None = None
        self.concurrency: int | None = None
        self.requests: Bucket | None = None
        self.tokens: Bucket | None = None
        self.running = 0
        self._day_ms = calendar.day_ms
        self._month_ms = calendar.month_ms
        # One counter a period, not an object: all of this is done thrice a request.
        self._day_spent = self._day_held = 0
        self._month_spent = self._month_held = 0
        self._total_spent = self._total_held = 0

    def limit(self, limits: Limits, now_ms: int) -> None:
        """Put `limits` into force; what was used before counts. `now_ms` is monotonic."""
        self.budget = limits.budget
        self.concurrency = limits.concurrency
        self.requests = _resized(self.requests, limits.requests_per_minute, now_ms)
        self.tokens = _resized(self.tokens, limits.tokens_per_minute, now_ms)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        limits = (self.budget, self.concurrency, self.requests, self.tokens)
        return any(limit is not None for limit in limits)

    def spent(self, per: Per) -> int:
        """Return the picodollars spent in the present day, month, or in all."""
        return {"day": self._day_spent, "month": self._month_spent, "total": self._total_spent}[per]

    def held(self, per: Per) -> int:
        """Return the picodollars held by running requests that began in the present day, month, or ever."""
        return {"day": self._day_held, "month": self._month_held, "total": self._total_held}[per]

    def room(self) -> int | None:
        """Return the picodollars that may still be held; None without a budget."""
        budget = self.budget
        if budget is None:
            return None
        if budget.per == "day":
            return budget.picousd - self._day_spent - self._day_held
        if budget.per == "month":
            return budget.picousd - self._month_spent - self._month_held
        return budget.picousd - self._total_spent - self._total_held

    def begin(self, calendar: Calendar) -> None:
        """Begin the calendar's day and month, if they aren't the account's already."""
        if self._day_ms != calendar.day_ms:
            self._day_ms = calendar.day_ms
            self._day_spent = self._day_held = 0
            if self._month_ms != calendar.month_ms:
                self._month_ms = calendar.month_ms
                self._month_spent = self._month_held = 0

    def hold(self, amount: int) -> None:
        """Hold `amount` picodollars."""
        self._day_held += amount
        self._month_held += amount
        self._total_held += amount

    def room_on(self, day_ms: int, month_ms: int) -> int | None:
        """Return the room for a request of the day `day_ms` and the month `month_ms`; None without a budget.

        Of a day or a month that is over nothing is known any more: there is no room in it.
        """
        budget = self.budget
        if budget is None:
            return None
        is_over = (budget.per == "day" and self._day_ms != day_ms) or (
            budget.per == "month" and self._month_ms != month_ms
        )
        return 0 if is_over else self.room()

    def hold_more(self, amount: int, day_ms: int, month_ms: int) -> None:
        """Hold `amount` picodollars more for a request that began on the day `day_ms` of `month_ms`."""
        self._total_held += amount
        if self._month_ms == month_ms:
            self._month_held += amount
            if self._day_ms == day_ms:
                self._day_held += amount

    def settle(self, held: int, cost: int, day_ms: int, month_ms: int) -> None:
        """Replace what was held on the day `day_ms` of the month `month_ms` by what it did cost."""
        self._total_held -= held
        self._total_spent += cost
        if self._month_ms == month_ms:
            self._month_held -= held
            self._month_spent += cost
            if self._day_ms == day_ms:
                self._day_held -= held
                self._day_spent += cost

    def add(self, *, day: int, month: int, total: int) -> None:
        """Count picodollars as spent: what the ledger says at the start, or what a new price changes."""
        self._day_spent += day
        self._month_spent += month
        self._total_spent += total


def _resized(bucket: Bucket | None, per_minute: int | None, now_ms: int) -> Bucket | None:
    if per_minute is None:
        return None
    if bucket is None:
        return Bucket(per_minute, now_ms)
    if bucket.per_minute != per_minute:
        bucket.resize(per_minute)
    return bucket
