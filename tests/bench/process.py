"""Child processes that are pinned to a core, measured from outside, and always ended."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_SECONDS = 30.0


class Process:
    """A child process of ours, with all that it starts in turn. Its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cpu: int | None,
        log: Path,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self.command = [str(part) for part in command]
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=REPOSITORY,
                env=None if environ is None else dict(environ),
                preexec_fn=(lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None,
            )
        self.pid = self._child.pid

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._child.poll() is None

    def cpu_seconds(self) -> float:
        """Return the CPU time of it and its children so far, threads that ended included."""
        return cpu_seconds(self.pid)

    def memory_mb(self) -> float:
        """Return the resident memory of it and its children, in MB (1e6 bytes)."""
        total = 0
        for pid in family(self.pid):
            with contextlib.suppress(OSError):
                found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
                total += int(found[1]) if found else 0
        return total * 1024 / 1e6

    def wait_for_port(self, port: int, *, seconds: float = 30.0) -> None:
        """Return once something listens on the port. Raises RuntimeError with the log's end otherwise."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.is_running():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{' '.join(self.command)} does not listen on port {port}:\n{self.log_end()}")

    def log_end(self) -> str:
        """Return the last 2,000 characters of its output."""
        return self.log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End it: by SIGTERM, and by SIGKILL if that does nothing."""
        if self.is_running():
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    cpu: int | None,
    log: Path,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Start a process and end it on the way out."""
    process = Process(command, cpu=cpu, log=log, environ=environ)
    try:
        yield process
    finally:
        process.stop()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children so far, threads that ended included."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError):
            # Linux: the CPU clock of process N has the id (~N << 3) | 2, to the nanosecond.
            total += time.clock_gettime((~each << 3) | 2)
    return total


def family(pid: int) -> set[int]:
    """Return the process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry)] = int(
                    Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1]
                )
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
