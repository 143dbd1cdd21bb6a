"""Tests of what a start-up makes of a crash."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chatvault.core.ledger import CostBasis, Status
from chatvault.store.reader import Reader
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.support.databases import do, opened, rows_of, tamper
from tests.support.ledger import CARD_BODY, CARD_ID, NOON, a_hold, a_row

_ROOT = Path(__file__).parents[2]


def _leave_open(path: Path, *numbers: int) -> None:
    async def work(store: Store) -> None:
        store.remember_rate_card(CARD_ID, CARD_BODY, provider="anthropic", model="claude", source="builtin")
        for number in numbers:
            await store.hold(a_hold(number))

    with opened(path) as store:
        do(store, work)


def test_open_holds_become_interrupted_rows(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    _leave_open(path, 1, 2)
    with opened(path, now_ms=lambda: NOON + 60_000) as store:
        ids = [a_hold(1).id, a_hold(2).id]
        assert [row.id for row in store.recovered] == ids
        with Reader.open(path) as reader:
            for request_id in ids:
                row = reader.request(request_id)
                assert row is not None
                assert (row.status, row.finished_at) == (Status.INTERRUPTED, NOON + 60_000)
                assert (row.cost_picousd, row.cost_basis) == (40_000_000_000, CostBasis.UPPER_BOUND)
            entries = reader.entries()
            assert [entry.kind for entry in entries] == [
                "request.settled",
                "request.settled",
                "daemon.recovered",
            ]
            assert json.loads(entries[2].body) == {"request_ids": ids}
            assert verify(reader, full=True).ok


def test_a_hold_that_somebody_set_below_zero_pays_nobody(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    _leave_open(path, 1)
    tamper(path, "UPDATE hold SET ceiling_picousd = -1000")
    with Reader.open(path) as reader:
        assert [each.kind for each in verify(reader, full=True).problems] == ["hold"]
    with opened(path) as store:
        assert [row.cost_picousd for row in store.recovered] == [0]


def test_a_second_start_finds_nothing_more_to_do(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    _leave_open(path, 1)
    with opened(path):
        pass
    with opened(path) as store:
        assert store.recovered == ()
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(1,)]
    assert rows_of(path, "SELECT count(*) FROM audit WHERE kind = 'daemon.recovered'") == [(1,)]


def test_a_start_without_open_holds_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with opened(path) as store:
        assert store.recovered == ()
    assert rows_of(path, "SELECT count(*) FROM audit") == [(0,)]


def test_a_hold_left_beside_its_row_is_only_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "chatvault.db"

    async def work(store: Store) -> None:
        await store.hold(a_hold(1))
        store.settle(a_row(a_hold(1)), durable=True)
        await store.flush()
        await store.hold(a_hold(1))

    with opened(path) as store:
        do(store, work)
    with opened(path) as store:
        assert store.recovered == ()
    assert rows_of(path, "SELECT status FROM ledger") == [("ok",)]
    assert rows_of(path, "SELECT count(*) FROM hold") == [(0,)]
    assert "left beside their ledger rows" in caplog.text


@pytest.mark.full
def test_a_killed_process_loses_no_hold_and_counts_none_twice(tmp_path: Path, is_full: bool) -> None:
    path = tmp_path / "chatvault.db"
    chance = random.Random(7)
    promised: set[str] = set()
    for _ in range(100 if is_full else 4):
        said = tmp_path / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.endless_writer", str(path)],
                cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
                stdout=output,
            )
            deadline = time.monotonic() + 30
            while not said.stat().st_size:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(chance.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            process.wait()
        # The last line may be cut off; the hold it speaks of counts from its newline on.
        *whole, _ = said.read_text().split("\n")
        promised.update(whole)
        with opened(path), Reader.open(path) as reader:
            written = [request_id for (request_id,) in reader.select("SELECT id FROM ledger")]
            assert promised <= set(written)
            assert reader.holds() == []
            per_request = "SELECT count(*) FROM audit WHERE kind = 'request.settled' GROUP BY request_id"
            assert set(reader.select(per_request).fetchall()) == {(1,)}
            assert verify(reader, full=True).problems == ()
    assert len(promised) > 50
