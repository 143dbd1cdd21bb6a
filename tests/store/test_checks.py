"""Tests of doctor's checks of the database."""

from pathlib import Path

import pytest

from chatvault.store import checks
from tests.support.databases import filled, tamper
from tests.support.ledger import a_hold, a_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return filled(tmp_path / "chatvault.db", [a_row(a_hold(number)) for number in range(90)])


def test_a_sound_database_passes(path: Path) -> None:
    found = checks.check_all(path)
    assert [(check.name, check.status) for check in found] == [("Database", "pass"), ("Audit chain", "pass")]
    assert "90 entries" in found[1].detail


def test_a_changed_entry_fails_the_chain(path: Path) -> None:
    tamper(path, "UPDATE audit SET body = replace(body, '340', '341') WHERE seq = 5")
    chain = checks.check_all(path)[1]
    assert (chain.status, chain.fix) == ("fail", "chatvault audit verify --full")
    assert "entry 5" in chain.detail


def test_a_damaged_file_fails_and_its_chain_is_skipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[20_480:24_576] = b"\xaa" * 4096
    path.write_bytes(data)
    found = checks.check_all(path)
    assert [check.status for check in found] == ["fail", "skip"]
    assert found[0].fix is not None and "restore" in found[0].fix


def test_little_room_is_a_warning(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LITTLE_ROOM_BYTES", 1 << 60)
    assert checks.check_database(path).status == "warn"


def test_what_was_not_read_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_MOST_CHECKED_ENTRIES", 10)
    monkeypatch.setattr(checks, "_MOST_CHECKED_BYTES", 10)
    database, chain = checks.check_all(path)
    assert "too large" in database.detail
    assert "the newest of 90 entries" in chain.detail
    assert chain.status == "pass"
