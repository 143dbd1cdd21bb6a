"""Tests of kept contents: readable with the key of their day alone, and not for longer than asked."""

import asyncio
from pathlib import Path

import pytest

from chatvault.errors import StoreError
from chatvault.store import content
from chatvault.store.content import Content, ContentVault
from tests.support.databases import opened, rows_of, tamper
from tests.support.ledger import NOON, a_hold

_DAY = 86_400_000
_SECRET = Content('{"messages":"the marmot"}', "sleeps")


def _keep(path: Path, vault: ContentVault, *, at_ms: int = NOON) -> str:
    request_id = a_hold(at_ms=at_ms).id

    async def keep() -> None:
        store.keep(vault.seal(request_id, _SECRET, now_ms=at_ms))
        await store.flush()

    with opened(path) as store:
        asyncio.run(keep())
    return request_id


def test_what_is_kept_is_read_again_and_the_chain_says_so(tmp_path: Path) -> None:
    path, vault = tmp_path / "chatvault.db", ContentVault(tmp_path / "keys")
    request_id = _keep(path, vault)
    with opened(path) as store:
        assert vault.open(store.run(lambda tx: content.read(tx, request_id))) == _SECRET
    assert rows_of(path, "SELECT kind, request_id FROM audit") == [("content.read", request_id)]


def test_the_database_holds_nothing_readable(tmp_path: Path) -> None:
    path, vault = tmp_path / "chatvault.db", ContentVault(tmp_path / "keys")
    _keep(path, vault)
    assert b"marmot" not in path.read_bytes()
    (key,) = (tmp_path / "keys").iterdir()
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE content SET sealed = zeroblob(length(sealed))",
        "UPDATE content SET nonce = zeroblob(12)",
        "UPDATE content SET request_id = replace(request_id, '0', '1')",
    ],
)
def test_a_changed_row_is_not_taken_for_a_content(tmp_path: Path, change: str) -> None:
    path, vault = tmp_path / "chatvault.db", ContentVault(tmp_path / "keys")
    _keep(path, vault)
    tamper(path, change)
    ((request_id,),) = rows_of(path, "SELECT request_id FROM content")
    with opened(path) as store, pytest.raises(StoreError, match="can't be decrypted"):
        vault.open(store.run(lambda tx: content.read(tx, request_id)))


def test_when_their_time_is_up_keys_and_rows_go(tmp_path: Path) -> None:
    path, vault = tmp_path / "chatvault.db", ContentVault(tmp_path / "keys")
    old, new = _keep(path, vault, at_ms=NOON - 31 * _DAY), _keep(path, vault, at_ms=NOON - 30 * _DAY)
    with opened(path) as store:
        sealed = store.run(lambda tx: content.read(tx, old))
        assert len(vault.expire(days=30, now_ms=NOON)) == 1
        with pytest.raises(StoreError, match="time is up"):
            vault.open(sealed)
        assert store.run(lambda tx: content.forget(tx, days=30)) == 1
        assert store.run(lambda tx: content.forget(tx, days=30)) == 0
        assert vault.open(store.run(lambda tx: content.read(tx, new))) == _SECRET
        with pytest.raises(StoreError, match="nothing is kept"):
            store.run(lambda tx: content.read(tx, old))
