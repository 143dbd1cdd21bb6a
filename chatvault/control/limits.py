"""Limits as the command line and the daemon talk of them: `budget`, `rpm`, `tpm`, `concurrency`."""

from collections.abc import Mapping
from typing import Protocol

from chatvault.core.account import Account
from chatvault.core.accounts import Accounts
from chatvault.core.json_types import JsonObject
from chatvault.core.limits import written_limits
from chatvault.core.money import usd_text
from chatvault.errors import UsageError

COLUMNS: Mapping[str, str] = {
    "budget": "budget",
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "concurrency": "concurrency",
}
"""The words people use, and the columns they are kept in."""

_MOST = 2**31 - 1


class HasLimits(Protocol):
    """An access token or a user."""

    @property
    def budget(self) -> str | None: ...
    @property
    def requests_per_minute(self) -> int | None: ...
    @property
    def tokens_per_minute(self) -> int | None: ...
    @property
    def concurrency(self) -> int | None: ...


def checked(column: str, value: object) -> str | int | None:
    """Return a limit as it is kept; None is no limit. Raises UsageError."""
    if value is None:
        return None
    if column == "budget":
        if not isinstance(value, str):
            raise UsageError(f"{value!r} is no budget", hint="--budget 5.00/day")
        try:
            limits = written_limits(value, requests_per_minute=None, tokens_per_minute=None, concurrency=None)
        except ValueError as exc:
            raise UsageError(str(exc), hint="--budget 5.00/day") from exc
        return str(limits.budget)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise UsageError(
            f"{column} must be a whole number from 1 up, got {value!r}", hint="leave it out for none"
        )
    return value


def limits_json(of: HasLimits) -> JsonObject:
    """Return what is shown of the limits of an access token or a user."""
    return {word: getattr(of, column) for word, column in COLUMNS.items()}


def limits_text(of: HasLimits, spent_usd: str | None = None) -> str:
    """Say the limits of an access token or a user in a few words, and what is spent of the budget."""
    parts = []
    if of.budget is not None:
        parts.append(f"${of.budget}" if spent_usd is None else f"${of.budget} (${spent_usd} spent)")
    for number, unit in (
        (of.requests_per_minute, "requests/min"),
        (of.tokens_per_minute, "tokens/min"),
        (of.concurrency, "at once"),
    ):
        if number is not None:
            parts.append(f"{number:,} {unit}")
    return ", ".join(parts) or "none"


def accounts_json(accounts: Accounts, now_ms: int) -> list[JsonObject]:
    """Return what every account that has limits has used of them by `now_ms`."""
    return [_account_json(each) for each in accounts.limited(now_ms)]


def _account_json(account: Account) -> JsonObject:
    budget = account.budget
    return {
        "kind": account.kind,
        "name": account.name,
        "budget": None if budget is None else str(budget),
        "spent_usd": None if budget is None else usd_text(account.spent(budget.per)),
        "held_usd": None if budget is None else usd_text(account.held(budget.per)),
        "rpm": None if account.requests is None else account.requests.per_minute,
        "tpm": None if account.tokens is None else account.tokens.per_minute,
        "concurrency": account.concurrency,
        "running": account.running,
    }
