"""Tests of signed checkpoints: when they are made, and what they give away."""

import asyncio
import logging
from pathlib import Path

import pytest

from chatvault.core.chain import entry_hash
from chatvault.core.checkpoint import Checkpoint, Statement, read_line, read_lines
from chatvault.store import checkpoints
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.support.databases import rows_of, tamper
from tests.support.ledger import NOON, a_refusal


def _write(path: Path, count: int, *, at_ms: int = NOON, begin: int = 0, seal: bool = True) -> None:
    store = Store.open(path, now_ms=lambda: at_ms, signer=Signer(path.parent / "keys"))

    async def fill() -> None:
        for number in range(begin, begin + count):
            store.settle(a_refusal(number), durable=False)
            if number % 50 == 0:
                await store.flush()
        await store.flush()
        if seal:
            await store.submit(store.checkpoint)

    asyncio.run(fill())
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A chain with one checkpoint at entry 20."""
    path = tmp_path / "chatvault.db"
    _write(path, 20)
    return path


def _keys(path: Path) -> TrustedKeys:
    return TrustedKeys.read(path.parent / "keys")


def _verify(path: Path, *, against: list[Checkpoint] | None = None) -> Verdict:
    with Reader.open(path) as reader:
        return verify(reader, full=True, keys=_keys(path), against=against)


def _kept(path: Path) -> list[Checkpoint]:
    return list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))


def _write_anew(path: Path, first: int) -> None:
    """Change entry `first` and hash all entries from there on, as whoever knows the format could."""
    rows = rows_of(path, "SELECT seq, ts_ms, kind, body, hash, request_id FROM audit ORDER BY seq")
    previous = rows[first - 2][4]
    statements = []
    for seq, ts_ms, kind, body, *_ in rows[first - 1 :]:
        text = body.replace("429", "200") if seq == first else body
        previous = entry_hash(previous, seq=seq, ts_ms=ts_ms, kind=kind, body=text.encode())
        statements.append(f"UPDATE audit SET body = '{text}', hash = x'{previous.hex()}' WHERE seq = {seq}")
    statements.append(f"UPDATE ledger SET http_status = 200 WHERE id = '{rows[first - 1][5]}'")
    tamper(path, *statements)


def test_a_sealed_chain_verifies(path: Path) -> None:
    verdict = _verify(path, against=_kept(path))
    assert verdict.ok and verdict.entries == 21
    assert verdict.comparison and (verdict.comparison.read, verdict.comparison.matched) == (1, 1)


def test_nothing_new_makes_no_second_checkpoint(path: Path) -> None:
    _write(path, 0)
    assert len(_kept(path)) == 1


def test_a_thousand_entries_are_sealed_with_the_commit_they_come_in(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    _write(path, 2500, seal=False)
    numbers = [each.seq for each in _kept(path)]
    assert len(numbers) == 2
    assert all(1000 <= each <= 2500 for each in numbers)
    assert _verify(path).ok


def test_ten_minutes_with_entries_are_sealed(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    clock = [NOON]
    store = Store.open(path, now_ms=lambda: clock[0], signer=Signer(tmp_path / "keys"))

    async def work() -> None:
        await store.record("daemon.started", {})
        clock[0] += checkpoints.EVERY_MS - 1
        await store.submit(lambda tx: None)
        assert _kept(path) == []
        clock[0] += 1
        await store.submit(lambda tx: None)
        assert [each.seq for each in _kept(path)] == [1]
        clock[0] += 2 * checkpoints.EVERY_MS
        await store.submit(lambda tx: None)
        assert len(_kept(path)) == 1

    asyncio.run(work())
    store.close()


def test_a_checkpoint_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        _write(tmp_path / "chatvault.db", 3)
    assert list(read_lines(caplog.messages)) == _kept(tmp_path / "chatvault.db")


def test_a_chain_written_anew_over_its_checkpoint_is_found(path: Path) -> None:
    _write_anew(path, 10)
    kinds = {problem.kind for problem in _verify(path).problems}
    assert "rewritten" in kinds
    assert not kinds & {"hash", "gap", "row"}


def test_a_tail_written_anew_with_its_checkpoints_gone_shows_against_a_log(path: Path) -> None:
    kept = _kept(path)
    tamper(path, "DELETE FROM checkpoint", "DELETE FROM audit WHERE seq = 21")
    _write_anew(path, 10)
    assert _verify(path).ok
    verdict = _verify(path, against=kept)
    assert [(each.kind, each.seq) for each in verdict.problems] == [("rewritten", 20)]


def test_a_chain_cut_off_shows_against_a_log(path: Path) -> None:
    kept = _kept(path)
    tamper(
        path,
        "DELETE FROM checkpoint",
        "DELETE FROM audit WHERE seq > 15",
        "DELETE FROM ledger WHERE id IN (SELECT id FROM ledger ORDER BY id DESC LIMIT 5)",
        "UPDATE usage_day SET requests = requests - 5",
    )
    assert _verify(path).ok
    verdict = _verify(path, against=kept)
    assert [(each.kind, each.seq) for each in verdict.problems] == [("cut_off", 20)]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE checkpoint SET note = replace(note, 'sig=', 'sig=0')", "checkpoint"),
        ("UPDATE checkpoint SET seq = 19", "checkpoint"),
        ("UPDATE checkpoint SET hash = zeroblob(32)", "checkpoint"),
        ("DELETE FROM checkpoint", "checkpoint"),
    ],
)
def test_a_changed_checkpoint_is_found(path: Path, change: str, kind: str) -> None:
    tamper(path, change)
    assert kind in {problem.kind for problem in _verify(path).problems}


def test_a_checkpoint_signed_by_another_key_is_not_believed(path: Path, tmp_path: Path) -> None:
    (kept,) = _kept(path)
    forged = Signer(tmp_path / "other").checkpoint(20, kept.statement.hash, ts_ms=NOON)
    verdict = _verify(path, against=[forged])
    assert [problem.kind for problem in verdict.problems] == ["unknown_signer"]
    wrong = Checkpoint(Statement(20, NOON, bytes(32), kept.statement.signer), kept.signature)
    assert [problem.kind for problem in _verify(path, against=[wrong]).problems] == ["signature"]


def test_the_key_is_its_owners_alone_and_keeps_its_predecessors_trusted(path: Path) -> None:
    folder = path.parent / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}
    (folder / "audit_key").unlink()
    _write(path, 5, begin=100)
    assert len(_keys(path).by_fingerprint) == 2
    assert _verify(path).ok


def test_a_key_that_can_not_be_used_stops_no_ledger(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path.parent / "keys" / "audit_key").write_text("nonsense")
    _write(path, 1500, begin=100, seal=False)
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(1520,)]
    assert any("no checkpoint can be signed" in message for message in caplog.messages)


def test_a_line_is_read_out_of_a_log_in_json(path: Path) -> None:
    (kept,) = _kept(path)
    line = kept.line().replace("/", "\\/")
    assert read_line(f'{{"MESSAGE":"{line}","PRIORITY":"6"}}') == kept
    assert read_line("nothing of the kind") is None
