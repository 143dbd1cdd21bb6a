"""Tests of what the database itself refuses, whoever asks: tables that only grow, a chain without gaps."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.store import adjustments
from tests.support.databases import filled, opened, rows_of
from tests.support.ledger import CARD_ID, NOON, a_hold, a_row, request_id

_TABLES = ("ledger", "audit", "rate_card", "adjustment", "checkpoint")
_NEW_ENTRY = "INTO audit(seq, ts_ms, kind, body, hash) VALUES ({}, 1, 'x', '{{}}', zeroblob(32))"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = filled(tmp_path / "chatvault.db", [a_row(a_hold(number)) for number in range(3)])
    with opened(path) as store:
        store.run(
            lambda tx: adjustments.adjust(
                tx, request_id(NOON, 0), cost_picousd=5, rate_card_id=CARD_ID, reason="list price was wrong"
            )
        )
        store.run(
            lambda tx: tx.execute("INSERT INTO checkpoint VALUES (1, 1, zeroblob(32), 'note')").rowcount
        )
    return path


@pytest.fixture
def shell(path: Path) -> Iterator[sqlite3.Connection]:
    """A SQLite shell, as anybody may open one."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("table", _TABLES)
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE {0} SET rowid_or_key = rowid_or_key",
        "DELETE FROM {0}",
        "REPLACE INTO {0} SELECT * FROM {0} LIMIT 1",
        "INSERT OR REPLACE INTO {0} SELECT * FROM {0} LIMIT 1",
        "INSERT INTO {0} SELECT * FROM {0} WHERE true LIMIT 1 ON CONFLICT DO UPDATE SET rowid_or_key = 'x'",
        "UPDATE OR REPLACE {0} SET rowid_or_key = rowid_or_key",
    ],
)
def test_what_is_written_stays(path: Path, shell: sqlite3.Connection, table: str, attack: str) -> None:
    before = rows_of(path, f"SELECT * FROM {table}")
    assert before
    column = {"ledger": "model_name", "rate_card": "model", "adjustment": "reason"}.get(table, "ts_ms")
    with pytest.raises(sqlite3.IntegrityError, match=r"append-only|without a gap"):
        shell.execute(attack.format(table).replace("rowid_or_key", column))
    assert rows_of(path, f"SELECT * FROM {table}") == before


@pytest.mark.parametrize("seq", ["NULL", "0", "-1", "1", "4", "6", "99"])
@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE"])
def test_an_entry_out_of_turn_is_refused(path: Path, shell: sqlite3.Connection, verb: str, seq: str) -> None:
    before = rows_of(path, "SELECT * FROM audit")
    assert len(before) == 4
    with pytest.raises(sqlite3.IntegrityError, match="without a gap"):
        shell.execute(f"{verb} {_NEW_ENTRY.format(seq)}")
    assert rows_of(path, "SELECT * FROM audit") == before


def test_the_next_entry_is_taken(shell: sqlite3.Connection) -> None:
    shell.execute(f"INSERT {_NEW_ENTRY.format(5)}")


def test_usage_log_shows_costs_exactly_and_adjusted(path: Path) -> None:
    assert rows_of(path, "SELECT * FROM usage_log") == [
        ("2026-11-18T12:00:00.000Z", "me", "claude", 1200, 340, "0.000000000005"),
        ("2026-11-18T12:00:00.000Z", "me", "claude", 1200, 340, "0.013100000000"),
        ("2026-11-18T12:00:00.000Z", "me", "claude", 1200, 340, "0.013100000000"),
    ]


def test_usage_log_knows_no_cost_where_there_is_no_price(tmp_path: Path) -> None:
    from chatvault.core.ledger import CostBasis

    row = a_row(a_hold(), cost_picousd=None, cost_basis=CostBasis.UNPRICED, rate_card_id=None)
    path = filled(tmp_path / "chatvault.db", [row])
    assert rows_of(path, "SELECT cost FROM usage_log") == [(None,)]
