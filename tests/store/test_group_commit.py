"""Tests of the writer's thread where its surroundings fail: a full disk, another program's lock, a defect."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.errors import StorageFull, StoreError
from chatvault.store import group_commit
from chatvault.store.transaction import Transaction
from chatvault.store.writer import Store
from tests.support.databases import do, holds_in_order, opened, rows_of
from tests.support.ledger import NOON, a_hold, a_refusal, a_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatvault.db"


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "_LAST_RETRY_SECONDS", 0.05)


def _fill_up(tx: Transaction) -> None:
    (pages,) = tx.execute("PRAGMA page_count").fetchone()
    tx.execute(f"PRAGMA max_page_count={pages}")


def _make_room(path_of_store: Store) -> None:
    # Through the writer's own connection, whose limit it is.
    path_of_store.run(lambda tx: tx.execute("PRAGMA max_page_count=1000000").fetchone())


async def _until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.01)


def test_on_a_full_disk_holds_fail_and_settlements_wait(path: Path, quick_retries: None) -> None:
    running = holds_in_order(200, client="x" * 500)

    async def work(store: Store) -> None:
        await asyncio.gather(*(store.hold(hold) for hold in running))
        await store.submit(_fill_up)
        for hold in running:
            store.settle(a_row(hold, client="x" * 500), durable=True)
        await _until(lambda: store.is_full)
        for number in range(20):
            with pytest.raises(StorageFull):
                await store.hold(a_hold(number, at_ms=NOON + 10_000, client="y" * 9000))
        assert store.problem is not None
        assert store.queue_length == 200
        assert rows_of(path, "SELECT count(*) FROM ledger") == [(0,)]
        await asyncio.to_thread(_make_room, store)
        await store.flush()
        assert (store.is_full, store.problem, store.queue_length) == (False, None, 0)
        await store.hold(a_hold(7))

    with opened(path) as store:
        do(store, work)
        assert store.is_alive
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(200,)]
    assert rows_of(path, "SELECT id FROM hold") == [(a_hold(7).id,)]
    assert rows_of(path, "PRAGMA integrity_check") == [("ok",)]


def test_another_programs_lock_fails_holds_and_keeps_settlements(path: Path, quick_retries: None) -> None:
    hold = a_hold()

    async def work(store: Store) -> None:
        await store.hold(hold)
        await store.submit(lambda tx: None)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.settle(a_row(hold), durable=True)
            with pytest.raises(StoreError, match="locked by another program"):
                await store.hold(a_hold(2))
            assert store.problem is not None
            assert not store.is_full
            other.execute("COMMIT")
        await store.flush()
        assert store.problem is None

    with opened(path) as store:
        store._writer._transactions._connection.execute("PRAGMA busy_timeout=50")
        do(store, work)
    assert rows_of(path, "SELECT id FROM ledger") == [(hold.id,)]


def test_a_short_lock_is_waited_out(path: Path) -> None:
    async def work(store: Store) -> None:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.2, lambda: (other.execute("COMMIT"), other.close())).start()
        await store.hold(a_hold())

    with opened(path) as store:
        do(store, work)
    assert rows_of(path, "SELECT count(*) FROM hold") == [(1,)]


def test_what_another_program_appended_is_followed_and_told(path: Path) -> None:
    from chatvault.store.reader import Reader
    from chatvault.store.verify import verify

    async def work(store: Store) -> None:
        await store.record("tunnel.up", {})
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            tx = Transaction(other, NOON)
            tx.append("token.added", {})
            tx.finish()
            other.execute("COMMIT")
        await store.record("tunnel.down", {})

    with opened(path) as store:
        do(store, work)
    with Reader.open(path) as reader:
        assert [entry.kind for entry in reader.entries()] == [
            *("tunnel.up", "token.added", "audit.foreign", "tunnel.down"),
        ]
        assert [each.kind for each in verify(reader, full=False).problems] == ["foreign"]


def test_a_group_that_can_not_be_written_by_the_end_is_left_to_recovery(
    path: Path, quick_retries: None, caplog: pytest.LogCaptureFixture
) -> None:
    hold = a_hold()

    async def work(store: Store) -> None:
        await store.hold(hold)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            store.settle(a_row(hold), durable=True)
            await asyncio.to_thread(store.close, 0.2)

    store = Store.open(path, now_ms=lambda: NOON)
    store._writer._transactions._connection.execute("PRAGMA busy_timeout=20")
    do(store, work)
    assert "settled as interrupted at the next start" in caplog.text
    with opened(path) as again:
        assert [row.id for row in again.recovered] == [hold.id]


def test_a_thread_that_dies_of_a_defect_tells_everyone_who_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    async def work(store: Store) -> None:
        await store.hold(a_hold(1))
        monkeypatch.setattr(store._writer, "_write", broken)
        with pytest.raises(StoreError, match="see the log"):
            await asyncio.wait_for(store.hold(a_hold(2)), 10)
        assert not store.is_alive
        with pytest.raises(StoreError, match="see the log"):
            await store.hold(a_hold(3))
        with pytest.raises(StoreError):
            store.settle(a_refusal(), durable=True)

    with opened(path) as store:
        do(store, work)
    assert "the database writer failed" in caplog.text
