"""Tests of the room kept free: what runs is settled on a full disk, and nothing new is taken on."""

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatvault.errors import StorageFull
from chatvault.store import rationing
from chatvault.store.reserve import Reserve
from chatvault.store.writer import Store
from tests.support.databases import rows_of
from tests.support.ledger import NOON, a_hold, a_refusal, a_row


class Disk:
    """A disk as small as a test wants it, made of SQLite's own limit on the file's pages."""

    def __init__(self, store: Store) -> None:
        self._connection: sqlite3.Connection = store._writer._transactions._connection
        self.reserve_pages = 0

    def fill(self) -> None:
        (pages,) = self._connection.execute("PRAGMA page_count").fetchone()
        self._connection.execute(f"PRAGMA max_page_count={pages}")

    def free(self) -> None:
        self._connection.execute("PRAGMA max_page_count=1000000")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "chatvault.db", now_ms=lambda: NOON, has_reserve=True)
    yield store
    store.close(timeout=1.0)


def test_the_reserve_lies_beside_the_database_until_the_end(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "chatvault.db", now_ms=lambda: NOON, has_reserve=True)
    reserve = tmp_path / "chatvault.db.reserve"
    assert reserve.stat().st_size == 8 << 20 and reserve.stat().st_mode & 0o777 == 0o600
    assert reserve.stat().st_blocks * 512 >= 8 << 20
    store.close()
    assert not reserve.exists()


def test_a_reserve_that_was_given_up_is_laid_down_again_when_there_is_room(tmp_path: Path) -> None:
    clock = [0.0]
    reserve = Reserve(tmp_path / "reserve", size=1 << 16, clock=lambda: clock[0])
    assert reserve.fill()
    reserve.release()
    assert not (tmp_path / "reserve").exists()
    assert not reserve.fill()
    clock[0] += 2
    assert reserve.fill() and (tmp_path / "reserve").exists()


def test_a_reserve_larger_than_the_disk_is_not_laid_down(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", size=1 << 60)
    assert not reserve.fill()
    assert list(tmp_path.iterdir()) == []


def test_refusals_beyond_a_number_are_counted_in_the_chain(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rationing, "MOST_REFUSALS_KEPT", 10)
    disk = Disk(store)

    async def work() -> None:
        disk.fill()
        await _until_full(store, 100)
        for number in range(900, 925):
            store.settle(a_refusal(number), durable=False)
        deadline = time.monotonic() + 30
        while store.queue_length != 10:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        disk.free()
        while rows_of(
            tmp_path / "chatvault.db", "SELECT body FROM audit WHERE kind = 'refusals.dropped'"
        ) != [('{"count":15}',)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        refused = "SELECT count(*) FROM ledger WHERE status = 'refused'"
        assert rows_of(tmp_path / "chatvault.db", refused) == [(10,)]

    asyncio.run(work())


async def _until_full(store: Store, number: int) -> int:
    """Take requests on until one is refused; returns the number of the one that was."""
    while True:
        try:
            await store.hold(a_hold(number, rate_card_id=None))
        except StorageFull:
            return number
        number += 1


def test_on_a_full_disk_holds_are_refused_and_what_runs_is_settled(store: Store, tmp_path: Path) -> None:
    disk = Disk(store)

    async def work() -> None:
        running = [a_hold(number, rate_card_id=None) for number in range(20)]
        for hold in running:
            await store.hold(hold)
        disk.fill()
        refused = await _until_full(store, 100)
        assert store.is_full
        assert not (tmp_path / "chatvault.db.reserve").exists()
        # The reserve is room again, and still nothing new is let in.
        disk.free()
        with pytest.raises(StorageFull):
            await store.hold(a_hold(refused, rate_card_id=None))
        store.settle(a_refusal(900), durable=False)
        for hold in running:
            store.settle(a_row(hold, rate_card_id=None), durable=True)
        deadline = time.monotonic() + 30
        settled = "SELECT count(*) FROM ledger WHERE status = 'ok'"
        while rows_of(tmp_path / "chatvault.db", settled) != [(20,)]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        # Then the reserve is laid down again, refusals are written, and holds are taken on as before.
        while True:
            try:
                await store.hold(a_hold(refused + 1, rate_card_id=None))
                break
            except StorageFull:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)
        await store.flush()
        assert not store.is_full
        assert (tmp_path / "chatvault.db.reserve").exists()
        assert rows_of(tmp_path / "chatvault.db", "SELECT count(*) FROM ledger WHERE status = 'refused'") == [
            (1,)
        ]

    asyncio.run(work())
