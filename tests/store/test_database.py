"""Tests of the database file: how it is made and migrated, and when it is refused."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chatvault.errors import DatabaseDamaged, DatabaseTooNew, StoreError
from chatvault.store import database
from chatvault.store.database import open_database
from chatvault.store.migrations import MIGRATIONS, Migration
from tests.support.databases import filled, rows_of
from tests.support.ledger import NOON, a_hold, a_row


def _open(path: Path) -> None:
    open_database(path, now_ms=lambda: NOON).close()


def _fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with a few requests in it."""
    rows = [a_row(a_hold(number, at_ms=NOON + number)) for number in range(30)]
    return filled(tmp_path / "state" / "chatvault.db", rows)


def test_file_and_folder_are_their_owners_alone_from_birth(tmp_path: Path) -> None:
    path = tmp_path / "a" / "state" / "chatvault.db"
    connection = open_database(path, now_ms=lambda: NOON)
    with closing(connection):
        connection.execute("INSERT INTO user(name, created_at) VALUES ('me', 1)")
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert set(modes) == {"chatvault.db", "chatvault.db-wal", "chatvault.db-shm"}
    assert set(modes.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_new_database_has_the_newest_shape_and_writes_ahead(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    _open(path)
    assert rows_of(path, "PRAGMA user_version") == [(MIGRATIONS[-1].number,)]
    assert rows_of(path, "PRAGMA journal_mode") == [("wal",)]
    names = {
        name for (name,) in rows_of(path, "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
    }
    assert names >= {"ledger", "hold", "audit", "checkpoint", "rate_card", "adjustment", "token", "user"}
    assert "usage_log" in names
    strict = rows_of(
        path,
        "SELECT min(strict) FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT LIKE 'sqlite_%'",
    )
    assert strict == [(1,)]


def test_opening_again_changes_nothing_and_leaves_no_backup(path: Path) -> None:
    before = rows_of(path, "SELECT count(*), max(id) FROM ledger")
    _open(path)
    assert rows_of(path, "SELECT count(*), max(id) FROM ledger") == before
    assert list(path.parent.glob("*.bak")) == []


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    path.touch(0o600)
    _open(path)
    assert rows_of(path, "SELECT count(*) FROM ledger") == [(0,)]


def test_a_newer_programs_database_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={MIGRATIONS[-1].number + 1}")
    before = _fingerprint(path)
    with pytest.raises(DatabaseTooNew, match="newer ChatVault") as caught:
        _open(path)
    assert caught.value.hint == "update ChatVault"
    assert _fingerprint(path) == before


def _break_magic(data: bytearray) -> None:
    data[0] ^= 0xFF


def _cut_the_end_off(data: bytearray) -> None:
    del data[-4096:]


def _cut_within_a_page(data: bytearray) -> None:
    del data[-100:]


def _break_the_schema(data: bytearray) -> None:
    data[100:4096] = b"\x55" * 3996


def _break_a_page_inside(data: bytearray) -> None:
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xaa" * 4096


def _leave_only_the_header(data: bytearray) -> None:
    del data[60:]


@pytest.mark.parametrize(
    "damage",
    [
        _break_magic,
        _cut_the_end_off,
        _cut_within_a_page,
        _break_the_schema,
        _break_a_page_inside,
        _leave_only_the_header,
    ],
)
def test_a_damaged_database_is_refused_and_left_alone(
    path: Path, damage: Callable[[bytearray], None]
) -> None:
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    before = _fingerprint(path)
    with pytest.raises(DatabaseDamaged) as caught:
        _open(path)
    assert "chatvault backup restore" in str(caught.value.hint)
    assert _fingerprint(path) == before


def test_a_broken_end_of_the_chain_is_damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET body = replace(body, '340', '341') WHERE seq = 20")
        connection.commit()
    with pytest.raises(DatabaseDamaged, match="don't follow each other"):
        _open(path)


def test_a_lost_table_is_damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE hold")
    with pytest.raises(DatabaseDamaged, match="no table hold"):
        _open(path)


def test_another_programs_database_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "chatvault.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies (x)")
    with pytest.raises(StoreError, match="not a ChatVault database"):
        _open(path)
    assert rows_of(path, "SELECT count(*) FROM cookies") == [(0,)]


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="can't be opened"):
        _open(tmp_path / "file" / "chatvault.db")


_NEWEST = MIGRATIONS[-1].number


class TestMigrations:
    """Tests of steps from one shape to the next."""

    def test_a_backup_is_laid_beside_an_existing_database_before_each_step(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = (
            *MIGRATIONS,
            Migration(_NEWEST + 1, ("CREATE TABLE extra (x INTEGER) STRICT",)),
            Migration(_NEWEST + 2, ("INSERT INTO extra VALUES (3)",)),
        )
        monkeypatch.setattr(database, "MIGRATIONS", later)
        _open(path)
        assert rows_of(path, "PRAGMA user_version") == [(_NEWEST + 2,)]
        assert rows_of(path, "SELECT x FROM extra") == [(3,)]
        backups = sorted(path.parent.glob("*.bak"))
        assert [each.name for each in backups] == [
            f"chatvault.db.schema{_NEWEST}-{NOON}.bak",
            f"chatvault.db.schema{_NEWEST + 1}-{NOON}.bak",
        ]
        assert {each.stat().st_mode & 0o777 for each in backups} == {0o600}
        assert rows_of(backups[0], "SELECT count(*) FROM ledger") == [(30,)]
        assert rows_of(backups[0], "PRAGMA user_version") == [(_NEWEST,)]
        assert rows_of(backups[0], "PRAGMA integrity_check") == [("ok",)]

    def test_a_step_that_fails_leaves_the_shape_before_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broken = Migration(
            _NEWEST + 1, ("CREATE TABLE extra (x INTEGER) STRICT", "INSERT INTO nowhere VALUES (1)")
        )
        monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(StoreError, match="nowhere"):
            _open(path)
        assert rows_of(path, "PRAGMA user_version") == [(_NEWEST,)]
        assert rows_of(path, "SELECT count(*) FROM sqlite_master WHERE name = 'extra'") == [(0,)]
        monkeypatch.undo()
        _open(path)

    def test_steps_are_numbered_without_a_gap(self) -> None:
        assert [each.number for each in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
