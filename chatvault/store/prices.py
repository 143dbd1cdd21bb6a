"""Prices of your own, set by command: they stand beside those of the settings, and go before every table."""

import sqlite3

from chatvault.core.chain import Json
from chatvault.core.price_book import Override
from chatvault.core.rate_card import Prices
from chatvault.errors import UsageError
from chatvault.store.transaction import Transaction

_COLUMNS = "model, input, output, cache_read, cache_write_5m, cache_write_1h, from_ms, until_ms, note"
_ADD = f"INSERT INTO own_price(ts_ms, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"
_ALL = f"SELECT {_COLUMNS} FROM own_price ORDER BY seq"


def add(tx: Transaction, override: Override) -> None:
    """Let a price hold from now on; of several that hold at a time, the one that was set last counts."""
    prices = override.prices
    figures = (
        prices.input,
        prices.output,
        prices.cache_read,
        prices.cache_write_5m,
        prices.cache_write_1h,
    )
    tx.execute(
        _ADD,
        (tx.now_ms, override.model, *figures, override.from_ms, override.until_ms, override.note),
    )
    names = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    body: dict[str, Json] = {
        "model": override.model,
        "picousd_per_token": dict(zip(names, figures, strict=True)),
        "from_ms": override.from_ms,
        "until_ms": override.until_ms,
        "note": override.note,
    }
    tx.append("price.changed", body)


def take_back(tx: Transaction, model: str) -> None:
    """Let nothing that was set for `model` hold any more. Raises UsageError where nothing does."""
    if not any(each.model == model for each in everything(tx.connection)):
        raise UsageError(f"no price was set for {model!r}", hint="chatvault prices list")
    tx.execute(_ADD, (tx.now_ms, model, None, None, None, None, None, None, None, ""))
    tx.append("price.changed", {"model": model, "picousd_per_token": None})


def everything(connection: sqlite3.Connection) -> tuple[Override, ...]:
    """Return the prices that were set and not taken back, in the order they were set."""
    found: list[Override] = []
    for model, *figures, from_ms, until_ms, note in connection.execute(_ALL):
        if None in figures:
            found = [each for each in found if each.model != model]
        else:
            found.append(Override(model, Prices(*figures), from_ms, until_ms, note))
    return tuple(found)
