"""Stores and databases for tests."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from chatvault.core.ledger import Hold, LedgerRow, Status
from chatvault.store.writer import Store
from tests.support.ledger import CARD_BODY, CARD_ID, NOON


@contextmanager
def opened(path: Path, *, now_ms: Callable[[], int] = lambda: NOON) -> Iterator[Store]:
    """Open a store with a clock that stands still, and close it."""
    store = Store.open(path, now_ms=now_ms)
    try:
        yield store
    finally:
        store.close(timeout=1.0)


def filled(path: Path, rows: Iterable[LedgerRow]) -> Path:
    """Write `rows` the way requests do: a hold, then its settlement."""
    from tests.support.ledger import a_hold

    async def fill(store: Store) -> None:
        store.remember_rate_card(CARD_ID, CARD_BODY, provider="anthropic", model="m", source="builtin")
        for row in rows:
            if row.status is not Status.REFUSED:
                await store.hold(a_hold(id=row.id, at_ms=row.started_at, is_local=True))
            store.settle(row, durable=False)
        await store.flush()

    with opened(path) as store:
        asyncio.run(fill(store))
    return path


def do(store: Store, work: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
    """Run one coroutine against a store."""
    asyncio.run(work(store))


def rows_of(path: Path, text: str) -> list[tuple[Any, ...]]:
    """Run a query as any program with SQLite could."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def tamper(path: Path, *statements: str) -> None:
    """Change the file as somebody with a SQLite shell could, guards and all."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, text in guards:
            connection.execute(text)
        connection.execute("COMMIT")


def holds_in_order(count: int, **changes: Any) -> list[Hold]:
    """Return `count` holds, a millisecond apart."""
    from tests.support.ledger import a_hold

    return [a_hold(number, at_ms=NOON + number, **changes) for number in range(count)]
