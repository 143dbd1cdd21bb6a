"""Tests of what is signed: only a chain that this program wrote, from the last signature on."""

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from chatvault.core.chain import canonical, entry_hash
from chatvault.errors import StoreError
from chatvault.store.reader import Reader
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.tail import HEAD_FILE
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from chatvault.store.writer import Store
from tests.store.test_checkpoints import _write, _write_anew
from tests.support.databases import rows_of, tamper
from tests.support.ledger import NOON, a_refusal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A chain with a checkpoint at entry 20, and 150 entries after it."""
    path = tmp_path / "chatvault.db"
    _write(path, 20)
    _write(path, 150, begin=20, seal=False)
    return path


def _open(path: Path, *, accepts_doubt: bool = False) -> Store:
    keys = Signer(path.parent / "keys")
    return Store.open(path, now_ms=lambda: NOON, signer=keys, accepts_doubt=accepts_doubt)


def _verify(path: Path) -> Verdict:
    with Reader.open(path) as reader:
        return verify(reader, full=True, keys=TrustedKeys.read(path.parent / "keys"))


def _kinds(path: Path) -> set[str]:
    return {each.kind for each in _verify(path).problems}


def _is_signed(path: Path) -> bool:
    """Open the database as the daemon does, and let it sign what it finds."""
    store = _open(path)
    try:
        if store.doubt is None:
            return store.run(store.checkpoint) is not None
        with pytest.raises(StoreError, match="no checkpoint is signed"):
            store.run(store.checkpoint)
        return False
    finally:
        store.close()


def _append(path: Path, kind: str, body: bytes) -> None:
    """Append an entry that follows from the last one, as whoever knows the format could."""
    ((seq, head),) = rows_of(path, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1")
    digest = entry_hash(head, seq=seq + 1, ts_ms=NOON, kind=kind, body=body)
    values = f"{seq + 1}, {NOON}, '{kind}', '{body.decode()}', x'{digest.hex()}'"
    tamper(path, f"INSERT INTO audit(seq, ts_ms, kind, body, hash) VALUES ({values})")


def test_an_untouched_tail_is_signed(path: Path) -> None:
    assert _is_signed(path)
    assert _verify(path).ok


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET body = replace(body, '429', '200') WHERE seq = 24",
        "UPDATE audit SET body = replace(body, '429', '200') WHERE seq = 7",
        "DELETE FROM audit WHERE seq = 23",
        "UPDATE checkpoint SET hash = zeroblob(32), note = replace(note, 'seq=20', 'seq=21')",
        "DELETE FROM audit WHERE seq >= 20",
    ],
)
def test_a_tail_that_was_changed_while_nobody_ran_is_not_signed(
    path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    tamper(path, change)
    before = rows_of(path, "SELECT count(*) FROM checkpoint")
    assert not _is_signed(path)
    assert rows_of(path, "SELECT count(*) FROM checkpoint") == before
    assert any(each.levelno == logging.CRITICAL for each in caplog.records)


def test_a_whole_new_chain_is_not_signed(path: Path) -> None:
    tamper(path, "DELETE FROM audit", "DELETE FROM checkpoint", "DELETE FROM ledger", "DELETE FROM usage_day")
    body = canonical({"file": "x", "highest_seq": None})
    digest = entry_hash(bytes(32), seq=1, ts_ms=NOON, kind="backup.restored", body=body)
    values = f"1, {NOON}, 'backup.restored', '{body.decode()}', x'{digest.hex()}'"
    tamper(path, f"INSERT INTO audit(seq, ts_ms, kind, body, hash) VALUES ({values})")
    assert _kinds(path) == {"unsigned"}
    assert not _is_signed(path)


def test_a_chain_written_anew_without_its_checkpoints_is_not_signed(path: Path) -> None:
    tamper(path, "DELETE FROM checkpoint", "DELETE FROM audit WHERE seq >= 21")
    _write_anew(path, 10)
    assert (path.parent / "keys" / HEAD_FILE).exists()
    assert not _is_signed(path)


@pytest.mark.parametrize("kind", ["audit.pruned", "backup.restored", "audit.foreign"])
def test_what_is_signed_at_birth_is_believed_no_later(path: Path, kind: str) -> None:
    _append(path, kind, canonical({"highest_seq": None}))
    assert not _is_signed(path)


def test_an_older_copy_put_in_place_by_hand_is_not_signed(path: Path) -> None:
    copy = path.with_name("copy.db")
    shutil.copyfile(path, copy)
    _write(path, 10, begin=200)
    shutil.copyfile(copy, path)
    assert not _is_signed(path)


def test_a_chain_changed_under_a_running_writer_is_signed_no_more(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = _open(path)
    _write_anew(path, 171)

    async def work() -> None:
        for number in range(300, 1500):
            store.settle(a_refusal(number), durable=False)
        await store.flush()

    asyncio.run(work())
    assert store.doubt is not None and "another program" in store.doubt
    with pytest.raises(StoreError, match="no checkpoint is signed"):
        store.run(store.checkpoint)
    store.close()
    # What ran is settled; the chain says what happened, and goes on without a signature.
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(1370,)]
    assert rows_of(path, "SELECT count(*) FROM checkpoint") == [(1,)]
    assert rows_of(path, "SELECT count(*) FROM audit WHERE kind = 'audit.foreign'") == [(1,)]
    assert sum(each.levelno == logging.CRITICAL for each in caplog.records) == 1
    assert _kinds(path) == {"foreign"}
    assert not _is_signed(path)


def test_whoever_has_the_key_can_accept_it(path: Path) -> None:
    store = _open(path)
    _write_anew(path, 171)
    store.run(lambda tx: None)
    store.close()
    store = _open(path, accepts_doubt=True)
    assert store.doubt is None
    store.run(store.checkpoint)
    store.close()
    assert rows_of(path, "SELECT count(*) FROM audit WHERE kind = 'audit.accepted'") == [(1,)]
    assert _verify(path).ok
    assert _is_signed(path)
