"""Log lines on their way out, without the event loop ever waiting for whoever reads them.

A terminal can be stopped with Ctrl-S and a pipe's reader can hang: lines are handed to a thread, which writes
all that have gathered in one call. Under load one write then carries hundreds of lines.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

# How long lines gather before they are written, and how many may wait before further ones are dropped.
_GATHER_SECONDS = 0.02
_MOST_WAITING = 20_000
_CLOSE_SECONDS = 2.0

# A line, or what will make it: in the writer's thread, where nobody waits for that.
Line: TypeAlias = bytes | Callable[[], bytes]


class LogWriter:
    """Write lines in a thread of its own, in order. `write` may block, and is called by one thread at a time.

    `lost` makes the line that says how many were dropped.
    """

    def __init__(self, write: Callable[[Sequence[bytes]], None], lost: Callable[[int], bytes]) -> None:
        self._write = write
        self._lost = lost
        self._waiting: deque[Line] = deque()
        self._dropped = 0
        self._is_writing = False
        self._is_closed = False
        self._has_lines = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chatvault-log", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        """Whether everything handed over has been written."""
        return not self._waiting and not self._is_writing

    def put(self, line: Line) -> None:
        """Hand a line over. Never blocks; where too many wait already, the line is dropped and counted."""
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def flush(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait until all is written, but no longer than `seconds`."""
        deadline = time.monotonic() + seconds
        self._hurry.set()
        while not self.is_idle and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(0.001)
        self._hurry.clear()

    def close(self) -> None:
        """Write what waits, and end the thread unless its reader hangs."""
        self.flush()
        self._is_closed = True
        self._hurry.set()
        self._has_lines.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._is_closed:
            self._has_lines.wait()
            self._hurry.wait(_GATHER_SECONDS)
            self._has_lines.clear()
            self._is_writing = True
            lines = []
            while self._waiting:
                line = self._waiting.popleft()
                lines.append(line if isinstance(line, bytes) else line())
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(self._lost(dropped))
            if lines:
                self._write(lines)
            self._is_writing = False


def write_to(fd: int) -> Callable[[Sequence[bytes]], None]:
    """Return a writer to a file descriptor. Once its reader is gone, lines go nowhere."""

    def write(lines: Sequence[bytes]) -> None:
        rest = memoryview(b"".join(lines))
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                # Another program that shares the terminal has made it non-blocking.
                select.select((), (fd,), ())
            except OSError:
                return

    return write
