"""Tests of the check of the audit chain: what was changed, and where."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatvault.core.chain import entry_hash
from chatvault.core.ledger import Attempt, CostBasis
from chatvault.store import adjustments
from chatvault.store.bulk_insert import BulkInsert
from chatvault.store.reader import Reader
from chatvault.store.rows import LEDGER_COLUMNS, ledger_values
from chatvault.store.transaction import Transaction
from chatvault.store.verdict import Problem, Verdict
from chatvault.store.verify import verify
from tests.support.databases import filled, opened, rows_of, tamper
from tests.support.ledger import CARD_BODY, CARD_ID, NOON, a_hold, a_refusal, a_row

_COUNT = 12


def _id(number: int) -> str:
    return a_hold(number).id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A chain of requests, the last of them refused."""
    rows = [a_row(a_hold(number)) for number in range(_COUNT - 1)]
    return filled(tmp_path / "chatvault.db", [*rows, a_refusal(_COUNT - 1)])


def _verify(path: Path, *, full: bool = False) -> Verdict:
    with Reader.open(path) as reader:
        return verify(reader, full=full)


@pytest.mark.parametrize("full", [False, True])
def test_an_untouched_chain_is_fine(path: Path, full: bool) -> None:
    ((head,),) = rows_of(path, f"SELECT hash FROM audit WHERE seq = {_COUNT}")
    assert _verify(path, full=full) == Verdict(True, _COUNT, head.hex(), None, ())


def test_an_empty_chain_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path):
        pass
    assert _verify(path, full=True) == Verdict(True, 0, "00" * 32, None, ())


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE audit SET body = replace(body, '340', '341') WHERE seq = 5", "hash"),
        ("UPDATE audit SET ts_ms = ts_ms + 1 WHERE seq = 5", "hash"),
        ("UPDATE audit SET kind = 'token.added', request_id = NULL WHERE seq = 5", "hash"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE seq = 5", "hash"),
        ("UPDATE audit SET request_id = 'another' WHERE seq = 5", "columns"),
        ("UPDATE audit SET token_id = NULL WHERE seq = 5", "columns"),
        ("UPDATE audit SET body = '{' WHERE seq = 5", "body"),
        ("DELETE FROM audit WHERE seq = 5", "gap"),
        ("DELETE FROM audit WHERE seq BETWEEN 5 AND 8", "gap"),
    ],
)
def test_a_changed_entry_is_found_where_it_is(path: Path, change: str, kind: str) -> None:
    tamper(path, change)
    verdict = _verify(path)
    assert not verdict.ok
    assert verdict.first_bad == 5
    assert kind in {problem.kind for problem in verdict.problems}


def test_a_changed_entry_says_whose_it_was(path: Path) -> None:
    tamper(path, "UPDATE audit SET body = replace(body, '340', '341') WHERE seq = 5")
    assert _verify(path).problems == (Problem("hash", 5, _id(4)),)


def test_a_beginning_that_was_cut_off_is_a_gap(path: Path) -> None:
    tamper(path, "DELETE FROM audit WHERE seq < 4")
    assert _verify(path).problems == (Problem("gap", 1),)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seq=st.integers(1, _COUNT), data=st.data())
def test_any_flipped_byte_breaks_the_chain(path: Path, seq: int, data: st.DataObject) -> None:
    column = data.draw(st.sampled_from(["body", "kind", "hash", "request_id", "token_id"]))
    ((value,),) = rows_of(path, f"SELECT CAST({column} AS BLOB) FROM audit WHERE seq = {seq}")
    at = data.draw(st.integers(0, len(value) - 1))
    # Below 128, so that text stays text.
    flipped = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 127))]) + value[at + 1 :]

    def put(what: bytes) -> None:
        literal = f"x'{what.hex()}'" if column == "hash" else f"CAST(x'{what.hex()}' AS TEXT)"
        tamper(path, f"UPDATE audit SET {column} = {literal} WHERE seq = {seq}")

    put(flipped)
    verdict = _verify(path)
    put(value)
    assert not verdict.ok
    assert verdict.first_bad == seq
    assert _verify(path).ok


def test_an_entry_hashed_anew_is_given_away_by_the_next_one(path: Path) -> None:
    ((previous,), (_,)) = rows_of(path, "SELECT hash FROM audit WHERE seq IN (4, 5) ORDER BY seq")
    ((ts_ms, kind, body),) = rows_of(path, "SELECT ts_ms, kind, body FROM audit WHERE seq = 5")
    forged = body.replace("340", "341")
    digest = entry_hash(previous, seq=5, ts_ms=ts_ms, kind=kind, body=forged.encode())
    tamper(path, f"UPDATE audit SET body = '{forged}', hash = x'{digest.hex()}' WHERE seq = 5")
    assert _verify(path).problems == (Problem("hash", 6, _id(5)),)


@pytest.mark.parametrize(
    "change",
    [
        "cost_picousd = 1",
        "cost_picousd = NULL",
        "output_tokens = output_tokens + 1",
        "token_id = 'tok_other1'",
        "status = 'error'",
        "stream = 0",
        "provider = 'deepseek'",
        "started_at = started_at - 86400000",
    ],
)
def test_a_changed_ledger_row_is_found_by_a_full_check_alone(path: Path, change: str) -> None:
    tamper(path, f"UPDATE ledger SET {change} WHERE id = '{_id(4)}'")
    assert _verify(path).ok
    assert _verify(path, full=True).problems == (Problem("row", 5, _id(4)),)


def test_a_deleted_row_is_missed(path: Path) -> None:
    tamper(path, f"DELETE FROM ledger WHERE id = '{_id(4)}'")
    assert _verify(path, full=True).problems == (Problem("missing_row", 5, _id(4)),)


def test_a_made_up_row_has_no_entry(path: Path) -> None:
    row = ledger_values(a_row(a_hold(99)))
    with closing(sqlite3.connect(path)) as connection, connection:
        BulkInsert("ledger", LEDGER_COLUMNS).run(connection, [row])
    assert _verify(path, full=True).problems == (Problem("missing_entry", None, _id(99)),)


def test_entries_cut_off_the_end_leave_rows_without_one(path: Path) -> None:
    tamper(path, f"DELETE FROM audit WHERE seq > {_COUNT - 2}")
    assert _verify(path).ok
    assert {problem.kind for problem in _verify(path, full=True).problems} == {"missing_entry"}


def test_a_request_settled_twice_is_found(path: Path) -> None:
    ((body,),) = rows_of(path, "SELECT body FROM audit WHERE seq = 3")

    def again(tx: Transaction) -> None:
        tx._link("request.settled", body.encode(), _id(2), "tok_phone1")

    with opened(path) as store:
        store.run(again)
    assert _verify(path).ok
    assert _verify(path, full=True).problems == (Problem("twice", _COUNT + 1, _id(2)),)


def test_a_changed_rate_card_is_found(path: Path) -> None:
    tamper(path, "UPDATE rate_card SET body = replace(body, 'claude', 'cheap')")
    assert _verify(path, full=True).problems == (Problem("rate_card"),)


def test_a_rate_card_that_nobody_kept_is_told_once(path: Path) -> None:
    tamper(path, "DELETE FROM rate_card")
    assert _verify(path, full=True).problems == (Problem("rate_card", 1, _id(0)),)


def test_wrong_daily_sums_are_found(path: Path) -> None:
    tamper(path, "UPDATE usage_day SET cost_picousd = cost_picousd - 1 WHERE status = 'ok'")
    assert _verify(path, full=True).problems == (Problem("sums"),)


def test_a_cost_that_was_moved_to_another_access_token_is_found(path: Path) -> None:
    columns = "day, 'tok_other', user_id, model_name, provider, client, status, requests, input_tokens"
    rest = "cached_tokens, output_tokens, cost_picousd, unpriced_requests"
    moved = f"INSERT INTO usage_day SELECT {columns}, {rest} FROM usage_day WHERE status = 'ok'"
    tamper(path, moved, "DELETE FROM usage_day WHERE status = 'ok' AND token_id <> 'tok_other'")
    assert _verify(path, full=True).problems == (Problem("sums"),)


def test_a_trigger_that_was_put_in_is_found(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER gift AFTER INSERT ON hold BEGIN UPDATE hold SET ceiling_picousd = 0; END"
        )
    assert _verify(path).problems == (Problem("trigger"),)


def test_a_view_that_tells_something_else_is_found(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP VIEW usage_log")
        connection.execute("CREATE VIEW usage_log AS SELECT 0 AS cost")
    assert _verify(path).problems == (Problem("view"),)


def test_an_index_that_hides_rows_is_found(path: Path) -> None:
    text = "CREATE INDEX adjustment_by_request ON adjustment (request_id, seq)"
    with opened(path) as store:
        store.run(lambda tx: adjustments.adjust(tx, _id(0), cost_picousd=5, rate_card_id=CARD_ID, reason="?"))
    assert _verify(path, full=True).ok
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP INDEX adjustment_by_request")
        connection.execute(f"{text} WHERE seq < 0")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'adjustment_by_request'", (text,))
    assert _verify(path, full=True).problems == (Problem("index"),)


@pytest.mark.parametrize(
    "change", ["DROP TRIGGER audit_no_update", "DROP TRIGGER ledger_no_replace", "DROP TRIGGER audit_no_gap"]
)
def test_a_missing_guard_is_told(path: Path, change: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(change)
    assert _verify(path).problems == (Problem("trigger"),)


def test_problems_beyond_a_thousand_are_not_remembered(tmp_path: Path) -> None:
    rows = [a_refusal(number, at_ms=NOON) for number in range(1100)]
    path = filled(tmp_path / "chatvault.db", rows)
    tamper(path, "UPDATE audit SET token_id = NULL")
    verdict = _verify(path)
    assert len(verdict.problems) == 1000
    assert (verdict.entries, verdict.first_bad) == (1100, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_name": 'a\x01\x1f"\\/\u2028é😀\x7f'},
        {"client": "", "error_code": "null", "stream": False},
        {"cost_picousd": None, "cost_basis": CostBasis.UNPRICED, "rate_card_id": None},
        {"input_tokens": 2**63 - 1, "output_tokens": 0, "reasoning_tokens": None},
    ],
)
@pytest.mark.parametrize("attempts", [0, 2])
def test_any_row_is_compared_with_its_entry_and_nothing_is_wrong(
    tmp_path: Path, changes: dict[str, object], attempts: int
) -> None:
    path = tmp_path / "chatvault.db"
    row = a_row(a_hold(), **changes)
    tried = [Attempt("anthropic/m", "overloaded", 529), Attempt("deepseek/m", None)][:attempts]

    async def settle() -> None:
        store.remember_rate_card(CARD_ID, CARD_BODY, provider="anthropic", model="m", source="builtin")
        await store.hold(a_hold())
        store.settle(row, attempts=tried, durable=False)
        await store.flush()

    with opened(path) as store:
        asyncio.run(settle())
    assert _verify(path, full=True).problems == ()
    tamper(path, "UPDATE ledger SET http_status = 418")
    assert _verify(path, full=True).problems == (Problem("row", 1, _id(0)),)
