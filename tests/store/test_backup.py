"""Tests of backups: made beside a writer, verified, listed, thinned out, put back."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from chatvault.core.access import secret_hash
from chatvault.core.checkpoint import Checkpoint, read_lines
from chatvault.errors import DatabaseDamaged, StoreError, UsageError
from chatvault.store import backup, prune, tokens
from chatvault.store.reader import Reader
from chatvault.store.restore import Restored, restore
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.support.databases import rows_of, tamper
from tests.support.ledger import NOON, a_hold, a_refusal, a_row
from tests.support.tokens import a_token


def _open(path: Path) -> Store:
    return Store.open(path, now_ms=lambda: NOON, signer=Signer(path.parent / "keys"))


def _fill(path: Path, numbers: range, *, seal: bool = True) -> None:
    store = _open(path)

    async def fill() -> None:
        for number in numbers:
            store.settle(a_refusal(number), durable=False)
        await store.flush()
        if seal:
            await store.submit(store.checkpoint)

    asyncio.run(fill())
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed chain of 20 requests."""
    path = tmp_path / "chatvault.db"
    _fill(path, range(20))
    return path


def _keys(path: Path) -> TrustedKeys:
    return TrustedKeys.read(path.parent / "keys")


def _make(path: Path, name: str = "copy.db") -> Path:
    return backup.make(path, path.parent / "backups" / name, keys=_keys(path)).path


def _restore(path: Path, copy: Path) -> Restored:
    return restore(copy, path, signer=Signer(path.parent / "keys"), now_ms=lambda: NOON + 5)


def _verify(path: Path, *, against: list[Checkpoint] | None = None) -> Verdict:
    with Reader.open(path) as reader:
        return verify(reader, full=True, keys=_keys(path), against=against)


def test_a_backup_is_whole_private_and_alone(path: Path) -> None:
    copy = _make(path)
    found = backup.check(copy, keys=_keys(path))
    assert (found.seq, found.requests) == (21, 20)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in copy.parent.iterdir()] == ["copy.db"]
    assert rows_of(copy, "SELECT * FROM ledger") == rows_of(path, "SELECT * FROM ledger")


def test_a_backup_never_overwrites(path: Path) -> None:
    copy = _make(path)
    with pytest.raises(StoreError, match="there already"):
        _make(path)
    assert backup.check(copy, keys=_keys(path)).requests == 20


def test_a_backup_of_what_does_not_verify_is_not_called_one(path: Path) -> None:
    tamper(path, "UPDATE ledger SET http_status = 200")
    with pytest.raises(DatabaseDamaged, match="doesn't verify"):
        _make(path)
    assert list((path.parent / "backups").iterdir()) == []


@pytest.mark.parametrize("at", [0, 30, 5000, -3000])
def test_a_damaged_backup_is_found_out(path: Path, at: int) -> None:
    copy = _make(path)
    data = bytearray(copy.read_bytes())
    data[at : at + 64 if at >= 0 else None] = b"\xa5" * len(data[at : at + 64 if at >= 0 else None])
    copy.write_bytes(data)
    with pytest.raises(StoreError):
        backup.check(copy, keys=_keys(path))


def test_a_backup_made_under_load_is_a_prefix(path: Path) -> None:
    store = _open(path)
    is_over = threading.Event()

    def write() -> None:
        async def load() -> None:
            number = 100
            while not is_over.is_set():
                hold = a_hold(number, is_local=True)
                await store.hold(hold)
                store.settle(a_row(hold, cost_picousd=0, rate_card_id=None), durable=False)
                number += 1
            await store.flush()

        asyncio.run(load())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [_make(path, f"copy{number}.db") for number in range(3)]
    finally:
        is_over.set()
        writer.join()
    store.close()
    whole = rows_of(path, "SELECT seq, body, hash FROM audit ORDER BY seq")
    for copy in copies:
        chain = rows_of(copy, "SELECT seq, body, hash FROM audit ORDER BY seq")
        assert chain == whole[: len(chain)]
        settled = "SELECT * FROM ledger WHERE id IN (SELECT request_id FROM audit) ORDER BY id"
        copied = rows_of(copy, settled)
        ids = ",".join(f"'{row[0]}'" for row in copied)
        assert copied == rows_of(path, f"SELECT * FROM ledger WHERE id IN ({ids}) ORDER BY id")
    assert len(rows_of(copies[2], "SELECT 1 FROM audit")) > 21


def test_what_was_left_half_done_is_swept_away(path: Path) -> None:
    copy = _make(path)
    left = [copy.with_name(f".copy.db.1234{end}") for end in (".part", ".part-journal")]
    left.append(path.with_name(".chatvault.db.0000.part"))
    for each in left:
        each.write_bytes(b"x")
    backup.sweep(copy.parent, path.parent, path.parent / "nowhere")
    assert not any(each.exists() for each in left)
    assert copy.exists() and path.exists()


def test_backups_are_listed_and_thinned_out_oldest_first(tmp_path: Path) -> None:
    for day in range(1, 6):
        backup.default_path(tmp_path, NOON + day * 86_400_000).write_bytes(b"x")
    (tmp_path / "my-own.db").write_bytes(b"x")
    removed = backup.thin_out(tmp_path, keep=2, now_ms=NOON + 9 * 86_400_000)
    assert [each.name for each in removed] == [f"chatvault-202611{day}T120000Z.db" for day in (19, 20, 21)]
    assert [each.made_ms for each in backup.listed(tmp_path)] == [NOON + n * 86_400_000 for n in (4, 5)]
    assert (tmp_path / "my-own.db").exists()


def test_backups_of_one_second_are_numbered_and_the_later_ones_kept(tmp_path: Path) -> None:
    for _ in range(12):
        backup.default_path(tmp_path, NOON).write_bytes(b"x")
    stem = "chatvault-20261118T120000Z"
    names = [f"{stem}.db", *(f"{stem}-{number}.db" for number in range(2, 13))]
    assert [each.path.name for each in backup.listed(tmp_path)] == names
    assert [each.name for each in backup.thin_out(tmp_path, keep=2, now_ms=NOON)] == names[:10]


def test_a_restore_keeps_the_old_database_and_says_so_in_the_chain(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    done = _restore(path, copy)
    assert done.kept and rows_of(done.kept, "SELECT count(*) FROM ledger") == [(30,)]
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(20,)]
    assert done.replaced and done.replaced.seq == 32
    assert rows_of(path, "SELECT seq, kind FROM audit WHERE seq > 21") == [
        (22, "backup.restored"),
        (23, "checkpoint"),
    ]
    assert _verify(path).ok and _verify(done.kept).ok


def test_stale_files_beside_the_database_move_with_it(path: Path) -> None:
    copy = _make(path)
    path.write_bytes(b"nonsense" * 1000)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).write_bytes(b"stale")
    done = _restore(path, copy)
    assert done.kept and done.kept.read_bytes() == b"nonsense" * 1000
    assert done.replaced is None
    assert path.with_name(done.kept.name + "-wal").read_bytes() == b"stale"
    assert _verify(path).ok


def test_a_backup_that_does_not_verify_replaces_nothing(path: Path) -> None:
    copy = _make(path)
    tamper(copy, "UPDATE audit SET ts_ms = ts_ms + 1 WHERE seq = 3")
    before = path.read_bytes()
    with pytest.raises(DatabaseDamaged):
        _restore(path, copy)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*before-restore*")) and not list(path.parent.glob("*.part*"))


def test_the_database_itself_is_no_backup(path: Path) -> None:
    with pytest.raises(UsageError, match="itself"):
        _restore(path, path)


def test_what_was_revoked_since_stays_revoked(path: Path) -> None:
    store = _open(path)
    store.run(lambda tx: tokens.add(tx, a_token(), secret_hash("one")))
    other = replace(a_token(), id="tok_other1", name="tablet")
    store.run(lambda tx: tokens.add(tx, other, secret_hash("two")))
    store.close()
    copy = _make(path)
    store = _open(path)
    store.run(lambda tx: tokens.revoke(tx, "phone", now_ms=NOON))
    store.close()
    assert _restore(path, copy).revoked == ("phone",)
    with Reader.open(path) as reader:
        assert {each.name: each.revoked_at is not None for each in reader.tokens()} == {
            "phone": True,
            "tablet": False,
        }


def test_holds_in_a_backup_are_settled_at_their_ceiling(path: Path) -> None:
    store = _open(path)
    asyncio.run(store.hold(a_hold(500, rate_card_id=None)))
    copy = _make(path)
    store.settle(a_row(a_hold(500), rate_card_id=None), durable=True)
    store.close()
    _restore(path, copy)
    assert rows_of(path, f"SELECT status, cost_basis FROM ledger WHERE id = '{a_hold(500).id}'") == [
        ("interrupted", "upper_bound")
    ]
    assert _verify(path).ok


def test_a_log_excuses_what_a_signed_restore_took_away(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    kept = list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))
    assert [each.seq for each in kept] == [20, 31]
    _restore(path, copy)
    _fill(path, range(70, 90))
    verdict = _verify(path, against=kept)
    assert verdict.ok and verdict.comparison
    assert (verdict.comparison.matched, verdict.comparison.lost_to_restore) == (1, (31,))
    assert verdict.comparison.restored_at == 22


def test_a_restore_that_nobody_signed_excuses_nothing(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    kept = list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))
    path.unlink()
    path.write_bytes(copy.read_bytes())
    forger = Store.open(path, now_ms=lambda: NOON + 5)
    forger.run(lambda tx: tx.append("backup.restored", {"highest_seq": 1000}))
    forger.close()
    assert [(each.kind, each.seq) for each in _verify(path).problems] == [("unsigned", 22)]
    problems = _verify(path, against=kept).problems
    assert [(each.kind, each.seq) for each in problems] == [("unsigned", 22), ("cut_off", 31)]


def test_a_restore_that_knows_not_what_it_replaced_excuses_nothing(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    kept = list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))
    path.write_bytes(b"nonsense" * 1000)
    _restore(path, copy)
    _fill(path, range(70, 90))
    verdict = _verify(path, against=kept)
    assert [(each.kind, each.seq) for each in verdict.problems] == [("lost", 31)]
    assert verdict.comparison and verdict.comparison.lost_to_restore == ()


def test_a_restore_signed_by_another_key_excuses_nothing(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    kept = list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))
    (path.parent / "keys" / "audit_key").unlink()
    _restore(path, copy)
    assert _verify(path).ok
    kinds = {each.kind for each in _verify(path, against=kept).problems}
    assert kinds and kinds <= {"cut_off", "rewritten"}


def test_a_log_excuses_it_when_the_restore_itself_was_pruned(path: Path) -> None:
    copy = _make(path)
    _fill(path, range(50, 60))
    kept = list(read_lines(line for (line,) in rows_of(path, "SELECT note FROM checkpoint")))
    _restore(path, copy)
    _fill(path, range(70, 90))
    for first in (100, 120):
        _prune(path)
        _fill(path, range(first, first + 10))
    assert rows_of(path, "SELECT count(*) FROM audit WHERE kind = 'backup.restored'") == [(0,)]
    verdict = _verify(path, against=kept)
    assert verdict.ok and verdict.comparison and verdict.comparison.lost_to_restore == (31,)


def _prune(path: Path) -> None:
    keys = path.parent / "keys"
    plan = prune.prepare(
        path, path.parent / "archive", before_ms=NOON + 6, signer=Signer(keys), keys=_keys(path)
    )
    store = _open(path)
    store.run(lambda tx: prune.record(tx, plan, store.checkpoint))
    while store.run(prune.take_out):
        continue
    store.close()
