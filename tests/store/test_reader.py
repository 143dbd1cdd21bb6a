"""Tests of what is read beside the writer."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.errors import DatabaseDamaged, DatabaseTooNew, StoreError
from chatvault.store import adjustments
from chatvault.store.adjustments import adjusted_cost
from chatvault.store.reader import Reader
from chatvault.store.writer import Store
from tests.support.databases import do, filled, opened, rows_of
from tests.support.ledger import NOON, a_hold, a_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten requests, settled in the reverse order of their start."""
    rows = [a_row(a_hold(number, at_ms=NOON - number), finished_at=NOON + number) for number in range(10)]
    return filled(tmp_path / "chatvault.db", rows)


def test_the_newest_are_the_last_to_be_settled(path: Path) -> None:
    with Reader.open(path) as reader:
        assert [(seq, row.started_at) for seq, row in reader.latest(3)] == [
            (8, NOON - 7),
            (9, NOON - 8),
            (10, NOON - 9),
        ]


def test_following_misses_none_and_repeats_none(path: Path) -> None:
    with Reader.open(path) as reader:
        seen, last = [], 0
        while found := reader.latest(4, after=last):
            seen += [row.id for _, row in found]
            last = found[-1][0]
    assert seen == [a_hold(number, at_ms=NOON - number).id for number in range(10)]


def test_other_entries_are_no_requests(path: Path) -> None:
    with opened(path) as store:
        store.run(lambda tx: tx.append("tunnel.up", {}))
    with Reader.open(path) as reader:
        assert reader.latest(5, after=10) == []
        assert [entry.kind for entry in reader.entries(after=10)] == ["tunnel.up"]
        assert reader.head().seq == 11


def test_one_request_is_found_with_its_entry(path: Path) -> None:
    with Reader.open(path) as reader:
        row = reader.request(a_hold(4, at_ms=NOON - 4).id)
        assert row is not None
        assert row.finished_at == NOON + 4
        entry = reader.entry_of(row)
        assert entry is not None
        assert (entry.seq, entry.request_id) == (5, row.id)
        assert reader.request("nothing") is None


def test_an_entry_is_found_where_the_clock_was_set_back(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    clock = [NOON]

    async def work(store: Store) -> None:
        for number, at_ms in enumerate([NOON, NOON - 10**9, NOON + 10**9, NOON]):
            clock[0] = at_ms
            await store.hold(a_hold(number))
            store.settle(a_row(a_hold(number), finished_at=NOON + 10**10), durable=False)
            await store.flush()

    with opened(path, now_ms=lambda: clock[0]) as store:
        do(store, work)
    with Reader.open(path) as reader:
        for number in range(4):
            row = reader.request(a_hold(number).id)
            assert row is not None
            entry = reader.entry_of(row)
            assert entry is not None
            assert entry.seq == number + 1


def test_running_requests_are_seen(path: Path) -> None:
    with opened(path) as store:
        do(store, lambda store: store.hold(a_hold(77)))
        with Reader.open(path) as reader:
            assert reader.holds() == [a_hold(77)]


def test_a_reader_can_not_write(path: Path) -> None:
    with Reader.open(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.select("DELETE FROM hold")


def test_a_snapshot_stands_still(path: Path) -> None:
    with opened(path) as store, Reader.open(path) as reader, reader.snapshot():
        before = reader.head()
        store.run(lambda tx: tx.append("tunnel.up", {}))
        assert reader.head() == before
    assert rows_of(path, "SELECT max(seq) FROM audit") == [(11,)]


def test_a_missing_database_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database") as caught:
        Reader.open(tmp_path / "chatvault.db")
    assert caught.value.hint == "chatvault serve"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("version", "error"), [(99, DatabaseTooNew), (0, StoreError)], ids=["newer", "not there yet"]
)
def test_another_shape_is_not_read(path: Path, version: int, error: type[StoreError]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    with pytest.raises(error):
        Reader.open(path)


def test_what_is_no_database_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    path.write_bytes(b"something else entirely" * 100)
    with pytest.raises(DatabaseDamaged):
        Reader.open(path)


def test_the_last_adjustment_of_a_request_counts(path: Path) -> None:
    request_id = a_hold(0).id
    with Reader.open(path) as reader:
        assert adjusted_cost(reader, request_id) is None
    with opened(path) as store:
        for cost in (5, 7):
            store.run(
                lambda tx, cost=cost: adjustments.adjust(
                    tx, request_id, cost_picousd=cost, rate_card_id=None, reason="wrong price"
                )
            )
    with Reader.open(path) as reader:
        assert adjusted_cost(reader, request_id) == 7
        assert [entry.kind for entry in reader.entries(after=10)] == ["cost.adjusted", "cost.adjusted"]
