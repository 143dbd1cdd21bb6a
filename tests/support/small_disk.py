"""A disk of a few megabytes, mounted for a test; skips it where nothing can be mounted."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, megabytes: int) -> Iterator[Path]:
    """Mount a disk of `megabytes` at `folder`."""
    folder.mkdir(exist_ok=True)
    options = f"size={megabytes}m,mode=0700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip("no small disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class Filler:
    """A file that takes up whatever room is left, and gives it back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "filler"

    def fill(self) -> None:
        """Write until there is no room."""
        for size in (1 << 20, 4096, 1):
            try:
                with self._path.open("ab", buffering=0) as file:
                    while True:
                        file.write(b"x" * size)
            except OSError:
                continue

    def free(self) -> None:
        """Give the room back."""
        self._path.unlink(missing_ok=True)
