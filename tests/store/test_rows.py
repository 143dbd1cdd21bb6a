"""Tests of how rows and holds lie in their tables, and of the bodies that go with them."""

import json
import sqlite3
from contextlib import closing
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chain import canonical
from chatvault.core.ledger import Attempt, CostBasis, Hold, LedgerRow, Status
from chatvault.core.usage import UsageBasis
from chatvault.store.bodies import body_of, kind_of
from chatvault.store.bulk_insert import BulkInsert
from chatvault.store.migrations import MIGRATIONS
from chatvault.store.rows import (
    HOLD_COLUMNS,
    LEDGER_COLUMNS,
    hold_of,
    hold_values,
    ledger_row,
    ledger_values,
)

_TEXT = st.text(max_size=20)
_NUMBER = st.integers(-(2**63), 2**63 - 1)

_ROWS = st.builds(
    LedgerRow,
    **{name: _TEXT for name in ("id", "user_id", "token_id", "client_ip", "via", "client", "endpoint")},
    model_name=_TEXT,
    **{name: _NUMBER for name in ("started_at", "finished_at", "http_status")},
    **{name: st.none() | _TEXT for name in ("provider", "upstream_model", "error_code", "rate_card_id")},
    upstream_request_id=st.none() | _TEXT,
    stream=st.booleans(),
    status=st.sampled_from(Status),
    usage_basis=st.sampled_from(UsageBasis),
    cost_basis=st.sampled_from(CostBasis),
    **{
        name: st.none() | _NUMBER
        for name in (
            "input_tokens",
            "cached_tokens",
            "cache_write_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost_picousd",
            "ttft_ms",
            "duration_ms",
        )
    },
)
_HOLDS = st.builds(
    Hold,
    **{name: _TEXT for name in ("id", "user_id", "token_id", "client_ip", "via", "client", "endpoint")},
    **{name: _TEXT for name in ("model_name", "provider", "upstream_model")},
    started_at=_NUMBER,
    stream=st.booleans(),
    is_local=st.booleans(),
    ceiling_picousd=st.none() | _NUMBER,
    rate_card_id=st.none() | _TEXT,
)


def _database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        for statement in migration.statements:
            connection.execute(statement)
    return connection


@given(_ROWS)
def test_a_row_comes_back_from_its_table_as_it_went_in(row: LedgerRow) -> None:
    with closing(_database()) as connection:
        BulkInsert("ledger", LEDGER_COLUMNS).run(connection, [ledger_values(row)])
        (cells,) = connection.execute("SELECT * FROM ledger").fetchall()
        assert ledger_row(cells) == row


@given(_HOLDS)
def test_a_hold_comes_back_from_its_table_as_it_went_in(hold: Hold) -> None:
    with closing(_database()) as connection:
        BulkInsert("hold", HOLD_COLUMNS).run(connection, [hold_values(hold)])
        (cells,) = connection.execute("SELECT * FROM hold").fetchall()
        assert hold_of(cells) == hold


def test_the_tables_have_the_columns_of_their_values_in_their_order() -> None:
    with closing(_database()) as connection:
        for table, columns in (("ledger", LEDGER_COLUMNS), ("hold", HOLD_COLUMNS)):
            found = connection.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchall()
            assert {name for (name,) in found} == set(columns)
        ledger = connection.execute("SELECT name FROM pragma_table_info('ledger')").fetchall()
        assert [name for (name,) in ledger] == list(LEDGER_COLUMNS)


@given(_ROWS)
def test_the_fast_body_is_canonical_to_the_byte(row: LedgerRow) -> None:
    assert body_of(row) == canonical(asdict(row))


@given(_ROWS, st.lists(st.builds(Attempt, _TEXT, st.none() | _TEXT, st.none() | _NUMBER), max_size=3))
def test_attempts_are_told_where_there_were_several(row: LedgerRow, attempts: list[Attempt]) -> None:
    body = json.loads(body_of(row, attempts))
    assert body.pop("attempts", []) == ([asdict(each) for each in attempts] if len(attempts) > 1 else [])
    assert body == asdict(row)
    assert kind_of(row) == ("request.refused" if row.status is Status.REFUSED else "request.settled")


@given(st.integers(0, 200))
def test_any_number_of_rows_goes_in_in_order(count: int) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE numbers (a, b)")
        BulkInsert("numbers", ("a", "b")).run(connection, [(n, str(n)) for n in range(count)])
        assert connection.execute("SELECT a, b FROM numbers ORDER BY rowid").fetchall() == [
            (n, str(n)) for n in range(count)
        ]
