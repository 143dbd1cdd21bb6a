"""How long each phase may take, and the silence clock: one timer that is armed lazily and outlives requests.

A received piece only moves the deadline; the timer, when it fires too early, is set to what the deadline has
become. A busy connection so touches the loop's timers about once in each `limit`, not once a read.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

_NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase may take, in seconds; None is for ever.

    `connect` is all of name look-up, TCP, proxy and TLS; `write` and `read` are silences: no byte taken by
    the other side, no byte come from it. `head` stands in for `read` until the answer's head is there; None
    is no other limit than `read`.
    """

    connect: float | None = 10.0
    write: float | None = 30.0
    read: float | None = 120.0
    head: float | None = None

    def with_head(self, seconds: float) -> "Timeouts":
        """Return the same, with another `head`."""
        return Timeouts(self.connect, self.write, self.read, seconds)


class SilenceClock:
    """Calls `on_due` once nothing has moved the deadline for `limit` seconds."""

    __slots__ = ("_armed_for", "_deadline", "_left", "_loop", "_on_due", "_timer", "limit")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_due: Callable[[], None]) -> None:
        self.limit = _NEVER
        self._loop = loop
        self._on_due = on_due
        self._deadline = self._armed_for = _NEVER
        # What was left until the deadline when the clock was made to stand still.
        self._left = _NEVER
        self._timer: asyncio.TimerHandle | None = None

    def restart(self) -> None:
        """Count from now on, with the limit there is."""
        self._deadline = self._loop.time() + self.limit

    def set(self, limit: float | None) -> None:
        """Count from now on, up to another limit; None is for ever."""
        self.limit = _NEVER if limit is None else limit
        self._move(self._loop.time() + self.limit)

    def hold(self) -> None:
        """Stand still until `go_on`: what passes meanwhile does not count."""
        self._left = self._deadline - self._loop.time()
        self._deadline = _NEVER

    def go_on(self) -> None:
        """Count on from where `hold` left off; where the clock was started anew since, from now on."""
        left = self._left if self._deadline == _NEVER else self.limit
        self._move(self._loop.time() + left)

    def stop(self) -> None:
        """Never call again."""
        self._deadline = _NEVER
        self._on_due = _nothing
        self._disarm()

    def _move(self, deadline: float) -> None:
        self._deadline = deadline
        if deadline < self._armed_for:
            self._disarm()
            self._arm(deadline)

    def _arm(self, when: float) -> None:
        self._armed_for = when
        self._timer = self._loop.call_at(when, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer, self._armed_for = None, _NEVER
        if self._deadline == _NEVER:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        else:
            self._on_due()


def _nothing() -> None:
    pass
