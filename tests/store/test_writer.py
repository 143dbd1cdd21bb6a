"""Tests of the store: what is committed when, and who hears of it."""

import asyncio
import concurrent.futures
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.core.chain import GENESIS, entry_hash
from chatvault.core.ledger import Attempt, LedgerRow, Status
from chatvault.errors import StoreError, UsageError
from chatvault.store.reader import Reader
from chatvault.store.transaction import Transaction
from chatvault.store.writer import Store
from tests.support.databases import do, holds_in_order, opened, rows_of
from tests.support.ledger import CARD_BODY, CARD_ID, NOON, a_hold, a_refusal, a_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatvault.db"


def test_a_hold_is_committed_when_it_returns(path: Path) -> None:
    async def work(store: Store) -> None:
        await store.hold(a_hold())
        assert rows_of(path, "SELECT id, ceiling_picousd, is_local FROM hold") == [
            (a_hold().id, 40_000_000_000, 0)
        ]

    with opened(path) as store:
        do(store, work)


@pytest.mark.parametrize(("is_local", "synchronous"), [(False, 2), (True, 1)])
def test_only_what_costs_money_waits_for_the_disk(path: Path, is_local: bool, synchronous: int) -> None:
    async def work(store: Store) -> None:
        await store.hold(a_hold(is_local=is_local))
        # A settlement of the same kind, so that looking doesn't change what is looked at.
        found = store.submit(lambda tx: tx.execute("PRAGMA synchronous").fetchone()[0], durable=not is_local)
        assert await found == synchronous

    with opened(path) as store:
        do(store, work)


def test_a_settlement_replaces_its_hold_by_a_row_and_an_entry(path: Path) -> None:
    row = a_row(a_hold())

    async def work(store: Store) -> None:
        await store.hold(a_hold())
        store.settle(row, durable=True)
        await store.flush()
        with Reader.open(path) as reader:
            assert reader.request(row.id) == row
            assert reader.holds() == []
            (entry,) = reader.entries()
        assert (entry.seq, entry.kind, entry.request_id, entry.token_id) == (
            1,
            "request.settled",
            row.id,
            row.token_id,
        )
        body = entry.body.encode()
        assert entry.hash == entry_hash(GENESIS, seq=1, ts_ms=NOON, kind="request.settled", body=body)
        assert (entry.seq, entry.hash) == store.head

    with opened(path) as store:
        do(store, work)


def test_a_raised_hold_is_what_an_interrupted_request_costs(path: Path) -> None:
    async def work(store: Store) -> None:
        store.remember_rate_card(CARD_ID, CARD_BODY, provider="anthropic", model="claude", source="builtin")
        await store.hold(a_hold())
        await store.submit(lambda tx: tx.raise_hold(a_hold().id, 90_000_000_000))
        assert rows_of(path, "SELECT ceiling_picousd FROM hold") == [(90_000_000_000,)]

    with opened(path) as store:
        do(store, work)
    with opened(path) as store:
        assert [row.cost_picousd for row in store.recovered] == [90_000_000_000]


def test_a_hold_that_is_not_there_can_not_be_raised(path: Path) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(StoreError):
            await store.submit(lambda tx: tx.raise_hold(a_hold().id, 1))

    with opened(path) as store:
        do(store, work)


def test_the_body_holds_every_column_of_the_row(path: Path) -> None:
    row = a_row(a_hold())

    async def work(store: Store) -> None:
        await store.hold(a_hold())
        store.settle(row, durable=True)
        await store.flush()

    with opened(path) as store:
        do(store, work)
    with closing(sqlite3.connect(path)) as connection, connection:
        cursor = connection.execute("SELECT * FROM ledger")
        names = [column[0] for column in cursor.description]
        (cells,) = cursor.fetchall()
    ((text,),) = rows_of(path, "SELECT body FROM audit")
    assert json.loads(text) == dict(zip(names, cells, strict=True))
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_attempts_stand_in_the_body_where_there_was_more_than_one(path: Path) -> None:
    attempts = [Attempt("ollama/llama", "overloaded", 503), Attempt("anthropic/claude", None)]

    async def work(store: Store) -> None:
        for number, tried in enumerate([attempts, attempts[1:]]):
            hold = a_hold(number)
            await store.hold(hold)
            store.settle(a_row(hold), attempts=tried, durable=True)
        await store.flush()

    with opened(path) as store:
        do(store, work)
    with_attempts, without = (json.loads(text) for (text,) in rows_of(path, "SELECT body FROM audit"))
    assert with_attempts["attempts"] == [
        {"route": "ollama/llama", "error_code": "overloaded", "upstream_status": 503},
        {"route": "anthropic/claude", "error_code": None, "upstream_status": None},
    ]
    assert "attempts" not in without


def test_a_refusal_needs_no_hold_and_has_a_kind_of_its_own(path: Path) -> None:
    async def work(store: Store) -> None:
        store.settle(a_refusal(), durable=False)
        await store.flush()
        assert store.defects == 0

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT kind FROM audit") == [("request.refused",)]


def test_many_at_once_are_each_settled_once_and_linked(path: Path) -> None:
    holds = holds_in_order(300)

    async def one(store: Store, number: int) -> None:
        await store.hold(holds[number])
        store.settle(a_row(holds[number]), durable=number % 2 == 0)

    async def work(store: Store) -> None:
        await asyncio.gather(*(one(store, number) for number in range(300)))
        await store.flush()

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT count(*), count(DISTINCT id) FROM ledger") == [(300, 300)]
    assert rows_of(path, "SELECT count(*) FROM hold") == [(0,)]
    assert rows_of(path, "SELECT max(seq), count(DISTINCT request_id) FROM audit") == [(300, 300)]
    assert rows_of(path, "SELECT sum(requests), sum(cost_picousd) FROM usage_day") == [
        (300, 300 * 13_100_000_000)
    ]


def test_a_second_settlement_changes_nothing_and_harms_no_other(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, other = a_hold(1), a_hold(2)

    async def work(store: Store) -> None:
        await store.hold(first)
        await store.hold(other)
        store.settle(a_row(first), durable=True)
        await store.flush()
        store.settle(a_row(first, output_tokens=9), durable=True)
        store.settle(a_row(other), durable=True)
        await store.flush()
        assert store.defects == 1

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT id, output_tokens FROM ledger ORDER BY id") == [
        (first.id, 340),
        (other.id, 340),
    ]
    assert "settled already" in caplog.text


def test_what_can_not_be_written_is_turned_away_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    holds = holds_in_order(9)
    poison = holds[4]

    async def work(store: Store) -> None:
        await asyncio.gather(*(store.hold(hold) for hold in holds))
        for hold in holds:
            client = "\ud800" if hold is poison else "curl"
            store.settle(a_row(hold, client=client), durable=True)
        await store.flush()
        with pytest.raises(StoreError):
            await store.hold(a_hold(20, ceiling_picousd=2**70))
        await store.hold(a_hold(21))

    with opened(path) as store:
        do(store, work)
        assert store.defects == 2
        assert store.is_alive
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(8,)]
    # Its hold stays: the next start settles it at its ceiling.
    assert (poison.id,) in rows_of(path, "SELECT id FROM hold")
    assert poison.id in caplog.text


def test_a_settlement_without_its_hold_is_written_all_the_same(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(store: Store) -> None:
        store.settle(a_row(a_hold()), durable=True)
        await store.flush()
        assert store.defects == 1

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(1,)]
    assert "had no hold" in caplog.text


def test_a_caller_that_left_while_it_waited_can_still_settle(path: Path) -> None:
    hold = a_hold()

    async def work(store: Store) -> None:
        waiting = asyncio.ensure_future(store.hold(hold))
        await asyncio.sleep(0)
        waiting.cancel()
        store.settle(a_row(hold, status=Status.CANCELLED), durable=True)
        await store.flush()
        assert store.defects == 0

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT status FROM ledger") == [("cancelled",)]
    assert rows_of(path, "SELECT id FROM hold") == []


@pytest.mark.parametrize("bad_id", ["", "01", a_hold(at_ms=NOON + 1).id, a_hold().id.lower(), "é" * 26])
def test_an_id_that_does_not_tell_its_time_is_refused_at_the_door(path: Path, bad_id: str) -> None:
    async def work(store: Store) -> None:
        with pytest.raises(ValueError, match="no ULID"):
            await store.hold(a_hold(id=bad_id))
        with pytest.raises(ValueError, match="no ULID"):
            store.settle(a_refusal(id=bad_id), durable=True)

    with opened(path) as store:
        do(store, work)


def test_a_record_lands_in_the_chain_with_its_ids(path: Path) -> None:
    async def work(store: Store) -> None:
        await store.record("tunnel.up", {"relay": "host"}, token_id="tok_1", request_id="r1")
        with pytest.raises(StoreError):
            await store.record("tunnel.up", {"seconds": 0.5})
        await store.record("tunnel.down", {})

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT seq, kind, request_id, token_id, body FROM audit") == [
        (1, "tunnel.up", "r1", "tok_1", '{"relay":"host","request_id":"r1","token_id":"tok_1"}'),
        (2, "tunnel.down", None, None, "{}"),
    ]


def test_a_change_hands_back_its_result_or_its_error(path: Path) -> None:
    def good(tx: Transaction) -> str:
        tx.append("config.loaded", {"path": "x"})
        return "done"

    def bad(tx: Transaction) -> None:
        tx.append("config.loaded", {"path": "y"})
        raise UsageError("no such thing")

    async def work(store: Store) -> None:
        assert await store.submit(good) == "done"
        with pytest.raises(UsageError, match="no such thing"):
            await store.submit(bad)

    with opened(path) as store:
        do(store, work)
        assert store.run(good) == "done"
        with pytest.raises(UsageError):
            store.run(bad)
    assert rows_of(path, "SELECT seq, body FROM audit") == [(1, '{"path":"x"}'), (2, '{"path":"x"}')]


def test_a_rate_card_is_kept_once(path: Path) -> None:
    for _ in range(2):
        with opened(path) as store:
            for _ in range(3):
                store.remember_rate_card(
                    CARD_ID, CARD_BODY, provider="anthropic", model="claude", source="builtin"
                )
            store.run(lambda tx: None)
    assert rows_of(path, "SELECT id, source, provider, model, body FROM rate_card") == [
        (CARD_ID, "builtin", "anthropic", "claude", CARD_BODY)
    ]


def test_closing_writes_what_is_still_queued(path: Path) -> None:
    holds = holds_in_order(50)

    async def work(store: Store) -> None:
        await asyncio.gather(*(store.hold(hold) for hold in holds))
        for hold in holds:
            store.settle(a_row(hold), durable=False)

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(50,)]


def test_a_closed_store_says_so(path: Path) -> None:
    with opened(path) as store:
        pass
    assert not store.is_alive
    with pytest.raises(StoreError, match="closed"):
        store.settle(a_refusal(), durable=True)
    with pytest.raises((StoreError, concurrent.futures.CancelledError), match="closed"):
        store.run(lambda tx: None)


def test_the_last_use_of_an_access_token_is_noted_once_a_minute(path: Path) -> None:
    from tests.support.tokens import a_token, secret

    token = a_token()
    times = [NOON, NOON + 59_000, NOON + 61_000]
    seen = []

    async def work(store: Store) -> None:
        for at_ms in times:
            store.settle(a_refusal(at_ms=at_ms, token_id=token.id), durable=False)
            await store.flush()
            seen.append(rows_of(path, "SELECT last_used_at FROM token")[0][0])

    with opened(path) as store:
        from chatvault.store import tokens

        store.run(lambda tx: tokens.add(tx, token, secret(1)))
        do(store, work)
    assert seen == [NOON, NOON, NOON + 61_000]


def test_a_row_comes_back_as_it_went_in_whatever_is_unknown(path: Path) -> None:
    empty: LedgerRow = a_refusal(error_code=None, duration_ms=None)

    async def work(store: Store) -> None:
        store.settle(empty, durable=True)
        await store.flush()

    with opened(path) as store:
        do(store, work)
    with Reader.open(path) as reader:
        assert reader.request(empty.id) == empty
