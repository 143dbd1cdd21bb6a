"""Tests of the daemon's backups: made when due, thinned out, and a failure is a health condition."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path

import pytest

from chatvault.config.places import Places, find_places
from chatvault.config.settings import BackupSettings
from chatvault.core.health import Health
from chatvault.daemon.backups import CONDITION, Backups
from chatvault.errors import StoreError
from chatvault.store import backup
from chatvault.store.signing import Signer
from chatvault.store.writer import Store
from tests.support.databases import rows_of
from tests.support.ledger import NOON

_DAY = 86_400_000


class House:
    """A store with backups, and a clock."""

    def __init__(self, home: Path) -> None:
        self.places: Places = find_places({"CHATVAULT_HOME": str(home)}, is_root=False)
        self.now_ms = NOON
        self.health = Health()
        self.store = Store.open(
            self.places.database, now_ms=lambda: self.now_ms, signer=Signer(self.places.keys_dir)
        )

    def run(self, work: Callable[[Backups], Coroutine[None, None, None]]) -> None:
        async def inside() -> None:
            await work(Backups(self.store, self.places, self.health, now_ms=lambda: self.now_ms))

        try:
            asyncio.run(inside())
        finally:
            self.store.close()

    @property
    def kinds(self) -> list[str]:
        return [kind for (kind,) in rows_of(self.places.database, "SELECT kind FROM audit ORDER BY seq")]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_one_is_made_when_it_is_due_and_the_oldest_go(house: House) -> None:
    settings = BackupSettings(every=timedelta(days=1), keep=2)

    async def days_go_by(backups: Backups) -> None:
        for hours in (0, 1, 24, 30, 48, 71):
            house.now_ms = NOON + hours * 3_600_000
            await backups.keep_once(settings)

    house.run(days_go_by)
    made = [each.made_ms for each in backup.listed(house.places.backup_dir)]
    assert made == [NOON + _DAY, NOON + 2 * _DAY]
    assert house.kinds.count("backup.created") == 3
    assert house.kinds.count("backup.removed") == 1


def test_a_clock_set_back_makes_one_and_only_one(house: House) -> None:
    async def jump(backups: Backups) -> None:
        await backups.keep_once(BackupSettings())
        for minute in range(4):
            house.now_ms = NOON - 10 * _DAY + 60_000 * minute
            await backups.keep_once(BackupSettings(keep=1))

    house.run(jump)
    assert [each.made_ms for each in backup.listed(house.places.backup_dir)] == [NOON - 10 * _DAY]
    assert house.kinds.count("backup.created") == 2


def test_a_backup_that_fails_says_why(house: House) -> None:
    async def fail(backups: Backups) -> None:
        house.places.backup_dir.write_text("in the way")
        with pytest.raises(StoreError):
            await backups.create()
        await backups.look(BackupSettings())
        assert [each.name for each in house.health.conditions] == [CONDITION]
        house.places.backup_dir.unlink()
        await backups.look(BackupSettings())
        assert list(house.health.conditions) == []

    house.run(fail)
    assert house.kinds.count("backup.created") == 1


def test_two_at_once_are_made_one_after_the_other(house: House, tmp_path: Path) -> None:
    async def both(backups: Backups) -> None:
        made = await asyncio.gather(*(backups.create(tmp_path / f"b{number}.db") for number in range(2)))
        assert [each["requests"] for each in made] == [0, 0]

    house.run(both)


def test_two_within_one_second_have_names_of_their_own(house: House) -> None:
    async def both(backups: Backups) -> None:
        made = await asyncio.gather(backups.create(), backups.create())
        assert [each.path for each in backup.listed(house.places.backup_dir)] == [
            Path(str(each["path"])) for each in made
        ]

    house.run(both)
    assert house.kinds.count("backup.created") == 2
