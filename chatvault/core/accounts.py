"""What access tokens, users and all of them together have used of what they may use.

Every request has a ticket from its first moment on. The ticket counts against three accounts: its access
token's, its user's, and everyone's. A hold is taken from all of them or from none; at the end it becomes what
the request did cost. All of this happens between two turns of the event loop, in one thread: nothing can come
between a look at an account and the hold.

A request belongs to the day and the month in which it began, also when it ends in the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from chatvault.core.account import Account
from chatvault.core.budget import Calendar
from chatvault.core.limits import NO_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class Spent:
    """What an access token of a user has cost since the day began, since the month began, and in all."""

    token_id: str
    user: str
    day_picousd: int
    month_picousd: int
    total_picousd: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """A rate or the concurrency of `account` allows no further request for `wait_ms` milliseconds."""

    account: "Account"
    what: Literal["requests", "tokens", "concurrency"]
    wait_ms: int


class Ticket:
    """One running request's part of its accounts: its access token's, its user's, everyone's."""

    __slots__ = ("_calendar", "_day_ms", "_held", "_month_ms", "_tokens", "accounts", "is_open")

    def __init__(self, accounts: tuple[Account, Account, Account], calendar: Calendar) -> None:
        self.accounts = accounts
        self.is_open = True
        self._calendar = calendar
        self._day_ms = calendar.day_ms
        self._month_ms = calendar.month_ms
        self._held = 0
        self._tokens = 0

    @property
    def has_budget(self) -> bool:
        """Whether a budget applies to the request."""
        token, user, everyone = self.accounts
        return token.budget is not None or user.budget is not None or everyone.budget is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens a minute are limited."""
        token, user, everyone = self.accounts
        return token.tokens is not None or user.tokens is not None or everyone.tokens is not None

    def tightest(self) -> tuple[Account, int] | None:
        """Return the account whose budget has the least room, and the room; None where no budget applies."""
        found: tuple[Account, int] | None = None
        self._catch_up()
        for account in self.accounts:
            if account.budget is None:
                continue
            room = account.room()
            if room is not None and (found is None or room < found[1]):
                found = account, room
        return found

    def hold(self, amount: int) -> None:
        """Hold `amount` picodollars in every account, once. The caller has looked for room just before."""
        self._catch_up()
        self._held = amount
        for account in self.accounts:
            account.hold(amount)

    def most(self) -> int | None:
        """Return what the hold could be raised to; None where no budget applies."""
        rooms = [account.room_on(self._day_ms, self._month_ms) for account in self.accounts]
        least = min((room for room in rooms if room is not None), default=None)
        return None if least is None else self._held + max(least, 0)

    def raise_to(self, amount: int) -> bool:
        """Hold `amount` picodollars in all if that is more than is held; whether every budget has the room.

        Without it nothing is changed.
        """
        more = amount - self._held
        if more <= 0:
            return True
        most = self.most()
        if most is not None and amount > most:
            return False
        self._held = amount
        for account in self.accounts:
            account.hold_more(more, self._day_ms, self._month_ms)
        return True

    def take_tokens(self, count: int, now_ms: int) -> TooMany | None:
        """Take `count` tokens of this minute's from every account, or from none."""
        for account in self.accounts:
            if account.tokens is not None and (wait_ms := account.tokens.wait_ms(count, now_ms)):
                return TooMany(account, "tokens", wait_ms)
        self._tokens += count
        for account in self.accounts:
            if account.tokens is not None:
                account.tokens.take(count)
        return None

    def _catch_up(self) -> None:
        """Take over a day that began since the request came in: what is held today comes off today's."""
        calendar = self._calendar
        if self._day_ms != calendar.day_ms:
            self._day_ms, self._month_ms = calendar.day_ms, calendar.month_ms
            for account in self.accounts:
                account.begin(calendar)

    def settle(self, cost: int | None, tokens: int) -> None:
        """Replace the hold by the cost, once; a cost that nobody knows counts as all that was held."""
        if not self.is_open:
            return
        self.is_open = False
        held = self._held
        spent = held if cost is None else cost
        more_tokens = tokens - self._tokens
        for account in self.accounts:
            account.running -= 1
            if held or spent:
                account.settle(held, spent, self._day_ms, self._month_ms)
            if account.tokens is not None and more_tokens:
                account.tokens.take(more_tokens)


class Accounts:
    """All accounts. Epochs are milliseconds; so is the monotonic time of the rates."""

    def __init__(self, zone: ZoneInfo, now_ms: int) -> None:
        self.calendar = Calendar(zone, now_ms)
        self._everyone = Account("everyone", "", self.calendar)
        self._tokens: dict[str, Account] = {}
        self._users: dict[str, Account] = {}

    @property
    def everyone(self) -> Account:
        """The account of all access tokens together."""
        return self._everyone

    def token(self, token_id: str) -> Account:
        """Return the account of an access token, by its id."""
        found = self._tokens.get(token_id)
        if found is None:
            found = self._tokens[token_id] = Account("token", token_id, self.calendar)
        return found

    def user(self, name: str) -> Account:
        """Return the account of a user."""
        found = self._users.get(name)
        if found is None:
            found = self._users[name] = Account("user", name, self.calendar)
        return found

    def limited(self, now_ms: int) -> list[Account]:
        """Return the accounts that have a limit, everyone's first, as they are on the day of `now_ms`."""
        self.calendar.advance(now_ms)
        every = [self._everyone, *self._users.values(), *self._tokens.values()]
        for account in every:
            account.begin(self.calendar)
        return [account for account in every if account.is_limited]

    def limit_everyone(self, limits: Limits, now_ms: int) -> None:
        """Put the limits of all together into force."""
        self._everyone.limit(limits, now_ms)

    def limit(self, tokens: Mapping[str, Limits], users: Mapping[str, Limits], *, now_ms: int) -> None:
        """Put the limits of access tokens, by id, and users into force; who isn't named has none."""
        for of, find, known in ((tokens, self.token, self._tokens), (users, self.user, self._users)):
            for name in known.keys() | of.keys():
                find(name).limit(of.get(name, NO_LIMITS), now_ms)

    def restore(self, sums: Sequence[Spent]) -> None:
        """Count what the ledger says was spent."""
        for each in sums:
            for account in (self.token(each.token_id), self.user(each.user), self._everyone):
                account.add(day=each.day_picousd, month=each.month_picousd, total=each.total_picousd)

    def adjust(self, token_id: str, user: str, *, started_ms: int, picousd: int) -> None:
        """Count what a settled request costs more than was known, or, below zero, less."""
        calendar = self.calendar
        for account in (self.token(token_id), self.user(user), self._everyone):
            account.begin(calendar)
            account.add(
                day=picousd if started_ms >= calendar.day_ms else 0,
                month=picousd if started_ms >= calendar.month_ms else 0,
                total=picousd,
            )

    def enter(self, token_id: str, user: str, *, now_ms: int, clock_ms: int) -> Ticket | TooMany:
        """Let a request begin, unless a rate or the concurrency is against it: then nothing is counted.

        `now_ms` is the epoch, `clock_ms` the monotonic time.
        """
        calendar = self.calendar
        if now_ms >= calendar.day_ends_ms:
            calendar.advance(now_ms)
        accounts = (self.token(token_id), self.user(user), self._everyone)
        for account in accounts:
            account.begin(calendar)
            if account.concurrency is not None and account.running >= account.concurrency:
                return TooMany(account, "concurrency", 1000)
            if account.requests is not None and (wait_ms := account.requests.wait_ms(1, clock_ms)):
                return TooMany(account, "requests", wait_ms)
        for account in accounts:
            account.running += 1
            if account.requests is not None:
                account.requests.take(1)
        return Ticket(accounts, calendar)
