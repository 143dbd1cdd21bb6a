"""The accounts of budgets and limits: filled from the ledger at the start, told of every change after it."""

import time
from zoneinfo import ZoneInfo

from chatvault.core.access import AccessToken
from chatvault.core.accounts import Accounts
from chatvault.core.limits import Limits, written_limits
from chatvault.daemon.engine import now_ms
from chatvault.errors import StoreError
from chatvault.store import budgets, tokens, users
from chatvault.store.transaction import Transaction
from chatvault.store.users import User
from chatvault.store.writer import Store


async def open_accounts(store: Store, zone: ZoneInfo) -> Accounts:
    """Return the accounts as the ledger leaves them; days and months begin in `zone`. Raises StoreError."""
    accounts = Accounts(zone, now_ms())
    calendar = accounts.calendar
    accounts.restore(
        await store.submit(
            lambda tx: budgets.spent(tx.connection, day_ms=calendar.day_ms, month_ms=calendar.month_ms),
            durable=False,
        )
    )
    return accounts


async def load_limits(store: Store, accounts: Accounts) -> None:
    """Put the limits that the database names into force. Raises StoreError."""
    everything = await store.submit(_everything, durable=False)
    by_token = {each.id: _limits(each) for each in everything[0]}
    by_user = {each.name: _limits(each) for each in everything[1]}
    accounts.limit(by_token, by_user, now_ms=int(time.monotonic() * 1000))


def _everything(tx: Transaction) -> tuple[list[AccessToken], list[User]]:
    return tokens.everything(tx.database), users.everything(tx.database)


def _limits(of: AccessToken | User) -> Limits:
    try:
        return written_limits(
            of.budget,
            requests_per_minute=of.requests_per_minute,
            tokens_per_minute=of.tokens_per_minute,
            concurrency=of.concurrency,
        )
    except ValueError as exc:
        raise StoreError(f"the limits of {of.name!r} can't be read: {exc}", hint="chatvault doctor") from exc
