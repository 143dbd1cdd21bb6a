"""The lock of the one writer: whoever holds it may write the database and own the control socket."""

import fcntl
import os
from pathlib import Path
from types import TracebackType

from chatvault.errors import AlreadyRunning, ChatVaultError, NotPermitted


class WriterLock:
    """A file held locked until `release`, or the end of the process: the kernel lets go by itself."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> "WriterLock":
        """Take the lock, or raise AlreadyRunning with the holder's process id."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except PermissionError as exc:
            raise NotPermitted(f"{path} belongs to another user", hint=_as_owner(path)) from exc
        except OSError as exc:
            raise ChatVaultError(f"{path} can't be opened: {exc.strerror}") from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise AlreadyRunning(
                f"another ChatVault holds {path} (process {holder})",
                hint="wait for it to end, or look at it with `chatvault status`",
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of one name."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "WriterLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _as_owner(path: Path) -> str:
    return f"run it as the owner of {path.parent}, or with sudo"
