"""Who else may read the files that hold secrets, keys or the database."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chatvault.config.places import Places


@dataclass(frozen=True, slots=True)
class TooOpen:
    """A file or folder that others can reach: its `mode`, and the widest that is `wanted`."""

    path: Path
    mode: int
    wanted: int

    def __str__(self) -> str:
        return f"{self.path} has mode {self.mode:04o}, others can reach it"

    @property
    def fix(self) -> str:
        """The command that mends it."""
        return f"chmod {self.wanted:o} {self.path}"


def find_too_open(places: Places, *, extra: Iterable[Path] = ()) -> tuple[TooOpen, ...]:
    """Find what is wider than 0600 (files) or 0700 (folders), of what there is.

    `extra` adds files that hold secrets.
    """
    database = places.database
    files = [places.env_file, places.config, database, Path(f"{database}-wal"), Path(f"{database}-shm")]
    private = [places.ssh_dir, places.keys_dir, places.backup_dir, places.archive_dir]
    keys = [each for folder in (*private, places.tls_dir) for each in _inside(folder)]
    folders = [places.state_dir, places.tls_dir, *private]
    if not places.is_system:
        folders.append(places.run_dir)
    found = [_too_open(path, 0o600) for path in (*files, *keys, *extra)]
    found += [_too_open(path, 0o700) for path in folders]
    return tuple(each for each in found if each is not None)


def _inside(folder: Path) -> list[Path]:
    try:
        # Public halves are public.
        return [each for each in folder.iterdir() if each.suffix not in (".pub", ".crt")]
    except OSError:
        return []


def _too_open(path: Path, wanted: int) -> TooOpen | None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None
    return TooOpen(path, mode, wanted) if mode & ~wanted & 0o077 else None
