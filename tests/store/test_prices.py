"""Tests of prices of one's own in the database."""

import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from chatvault.core.pricing import override
from chatvault.errors import UsageError
from chatvault.store import prices
from chatvault.store.reader import Reader
from tests.support.databases import opened, rows_of

FIRST = override("m", input=Decimal(1), output=Decimal(2), note="a letter")
SECOND = override("deepseek/m", input=Decimal("0.28"), output=Decimal("0.42"), cache_read=Decimal("0.028"))


def test_prices_come_back_in_the_order_they_were_set(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path) as store:
        for each in (FIRST, SECOND, FIRST):
            store.run(lambda tx, each=each: prices.add(tx, each))
    with Reader.open(path) as reader:
        assert prices.everything(reader.connection) == (FIRST, SECOND, FIRST)
    kind, body = rows_of(path, "SELECT kind, body FROM audit ORDER BY seq")[1]
    assert kind == "price.changed"
    assert json.loads(body)["picousd_per_token"]["cache_read"] == 28_000


def test_what_is_taken_back_holds_no_more_and_can_be_set_again(tmp_path: Path) -> None:
    with opened(tmp_path / "chatvault.db") as store:
        for each in (FIRST, SECOND):
            store.run(lambda tx, each=each: prices.add(tx, each))
        store.run(lambda tx: prices.take_back(tx, "m"))
        assert store.run(lambda tx: prices.everything(tx.connection)) == (SECOND,)
        with pytest.raises(UsageError):
            store.run(lambda tx: prices.take_back(tx, "m"))
        store.run(lambda tx: prices.add(tx, FIRST))
        assert store.run(lambda tx: prices.everything(tx.connection)) == (SECOND, FIRST)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE own_price SET input = 0",
        "DELETE FROM own_price",
        "INSERT OR REPLACE INTO own_price(seq, ts_ms, model, note) VALUES (1, 0, 'm', '')",
    ],
)
def test_a_price_that_was_set_is_never_changed(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path) as store:
        store.run(lambda tx: prices.add(tx, FIRST))
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        rows_of(path, statement)
