"""Files that only their owner may read, written whole or not at all, and there after a power cut."""

import os
import secrets
from pathlib import Path

from chatvault.errors import StoreError
from chatvault.store.faults import os_error

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_FOLDER = 0o700
PART = ".part"
"""The end of the name of a file that is being written."""


def ensure_folder(path: Path) -> None:
    """Make `path`, 0700, owned as its parent is: what root makes must be the service's. Raises StoreError."""
    if path.is_dir():
        return
    try:
        path.mkdir(mode=OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        give_to_owner_of(path.parent, path)
    except OSError as error:
        raise os_error(error, path) from error


def create(path: Path) -> int:
    """Make an empty file, 0600 from birth, and return its descriptor. Raises OSError where it is there."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, OWNER_ONLY_FILE)
    give_to_owner_of(path.parent, path)
    return descriptor


def write_once(path: Path, data: bytes) -> None:
    """Write a new file. Raises StoreError, also where there is one already."""
    if path.exists():
        raise StoreError(f"{path} is there already")
    write_whole(path, data)


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step. Raises StoreError, StorageFull."""
    ensure_folder(path.parent)
    temporary = temporary_beside(path)
    try:
        with os.fdopen(create(temporary), "wb") as file:
            file.write(data)
        put_in_place(temporary, path)
    except OSError as error:
        raise os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """Return a name for a file that is to become `path`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{PART}")


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a file that is complete its name: synced before, its folder after. Raises OSError."""
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file or a folder written to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to_owner_of(folder: Path, path: Path) -> None:
    """Let `path` belong to whom `folder` belongs. Raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
