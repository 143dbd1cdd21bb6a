"""Files and folders that nobody else may read, written whole or not at all."""

import os
import stat
import tempfile
from pathlib import Path

from chatvault.errors import ChatVaultError, NotPermitted


def ensure_private_folder(path: Path) -> None:
    """Make `path` and its parents, 0700 where they are new.

    Raises NotPermitted where it belongs to someone else: in a shared place such as /tmp another user could
    have laid it there.
    """
    try:
        missing = [each for each in (path, *path.parents) if not each.exists()]
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
        found = path.stat()
    except PermissionError as exc:
        raise NotPermitted(
            f"{path} can't be made: {exc.strerror}", hint=f"check who owns {path.parent}"
        ) from exc
    except (NotADirectoryError, FileExistsError) as exc:
        raise ChatVaultError(
            f"{path} can't be made: something on the way there is a file",
            hint="set CHATVAULT_HOME to a folder, or move the file away",
        ) from exc
    except OSError as exc:
        raise ChatVaultError(
            f"{path} can't be made: {exc.strerror}", hint=f"df {path.parent} shows whether there is room"
        ) from exc
    if not stat.S_ISDIR(found.st_mode):
        raise ChatVaultError(f"{path} is not a folder", hint="move it away")
    if found.st_uid not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise NotPermitted(f"{path} belongs to another user", hint="remove it, or set CHATVAULT_HOME")


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, 0600. Raises ChatVaultError.

    What root writes belongs to the folder's owner: the service must be able to read it.
    """
    ensure_private_folder(path.parent)
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.chown(temporary, owner.st_uid, owner.st_gid)
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be written: {exc.strerror}", hint="check who owns it") from exc
    except OSError as exc:
        raise ChatVaultError(
            f"{path} can't be written: {exc.strerror}", hint=f"df {path.parent} shows whether there is room"
        ) from exc
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
