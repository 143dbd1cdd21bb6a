"""Room kept free on the disk, so that requests which are running when it fills up can still be settled.

A file of zeros lies beside the database. When SQLite finds no room, the file goes, and settlements go into
what it leaves; nothing new is taken on until it could be laid down again in full.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from chatvault.store.private_file import create

BYTES = 8 << 20
"""Enough to settle what `server.max_connections` lets in by default, in the log and in the file."""

_LOOK_EVERY_SECONDS = 1.0


class Reserve:
    """The room at `path`, `size` bytes. Used by the writer's thread alone."""

    def __init__(self, path: Path, *, size: int = BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._size = size
        self._clock = clock
        self._next_look = 0.0
        self.is_spent = True

    def fill(self) -> bool:
        """Lay the room down if it isn't, and tell whether it is. Looks at the disk once a second at most."""
        if not self.is_spent:
            return True
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + _LOOK_EVERY_SECONDS
            self.is_spent = not self._lay_down()
        return not self.is_spent

    def release(self) -> None:
        """Give the room up."""
        self.is_spent = True
        self._next_look = self._clock() + _LOOK_EVERY_SECONDS
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            # A disk that can't even forget a file has no room to give; settlements wait until it has.
            return

    def remove(self) -> None:
        """Remove the file: nothing runs any more that would need it."""
        self.release()

    def _lay_down(self) -> bool:
        try:
            if self._path.exists() and self._path.stat().st_blocks * 512 >= self._size:
                return True
            self._path.unlink(missing_ok=True)
            # Twice as much as it takes: what is laid down to the last byte would be given up again at once.
            if shutil.disk_usage(self._path.parent).free < 2 * self._size:
                return False
            descriptor = create(self._path)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True
