"""Polls /health every 5 ms on one connection, and keeps how long each answer took."""

import contextlib
import http.client
import os
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

PERIOD_SECONDS = 0.005


@dataclass(slots=True)
class Answers:
    """How long the answers took, in milliseconds. A stall of the loop shows as an answer at least as late."""

    times_ms: list[float] = field(default_factory=list)
    failures: int = 0

    @property
    def longest_ms(self) -> float:
        """Return the longest wait for an answer."""
        return max(self.times_ms, default=0.0)

    @property
    def p50_ms(self) -> float:
        """Return the usual wait for an answer."""
        return statistics.median(self.times_ms) if self.times_ms else 0.0

    @property
    def p99_ms(self) -> float:
        """Return what one answer of a hundred exceeds."""
        return sorted(self.times_ms)[int(len(self.times_ms) * 0.99)] if self.times_ms else 0.0


@contextlib.contextmanager
def probing(port: int, *, cpu: int | None) -> Iterator[Answers]:
    """Probe a server in a thread, on a core that the server doesn't use, until the way out."""
    answers, is_over = Answers(), threading.Event()

    def probe() -> None:
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not is_over.is_set():
            started = time.perf_counter()
            try:
                connection.request("GET", "/health")
                connection.getresponse().read()
                answers.times_ms.append((time.perf_counter() - started) * 1e3)
            except (OSError, http.client.HTTPException):
                answers.failures += 1
                connection.close()
            left = started + PERIOD_SECONDS - time.perf_counter()
            if left > 0:
                time.sleep(left)
        connection.close()

    thread = threading.Thread(target=probe, name="probe")
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()
