"""The writer's lock."""

import stat
from pathlib import Path

import pytest

from chatvault.control.lock import WriterLock
from chatvault.errors import AlreadyRunning


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with WriterLock.acquire(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(AlreadyRunning, match="process ") as caught:
            WriterLock.acquire(path)
        assert caught.value.exit_code == 6

    WriterLock.acquire(path).release()
