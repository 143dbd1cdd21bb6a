"""What one connection is sending, and for how long it may keep us waiting with that."""

from enum import Enum, auto

from chatvault.gateway.guard import Guard

# What a connection is sending: nothing yet, nothing just now, a head, a body, nothing that is looked at.
# Plain numbers: they are compared twice for each request.
FIRST, IDLE, HEAD, BODY, OVER = range(5)


class Late(Enum):
    """How a connection ends that has kept us waiting for too long."""

    CLOSE = auto()
    ABORT = auto()
    HEAD_TOO_SLOW = auto()
    BODY_TOO_SLOW = auto()


class Deadlines:
    """What a connection is sending (`phase`), until which tick (`due`), and of a body how much came.

    Whoever parses sets these as it goes: it does so several times for each request, and calls would cost more
    than all else in here.
    """

    __slots__ = ("body_bytes", "body_seen", "body_since", "due", "phase")

    def __init__(self) -> None:
        self.phase = FIRST
        self.due = 0
        self.body_bytes = 0
        self.body_seen = 0
        self.body_since = 0

    def late(self, guard: Guard, tick: int, *, is_reading: bool) -> Late | None:
        """Say how a connection ends whose time is up; None gives it more.

        `is_reading` False: it is us who don't read, since the request before this one is being answered.
        """
        phase = self.phase
        if phase == OVER:
            return Late.ABORT
        if phase < HEAD:
            return Late.CLOSE
        if not is_reading:
            self.due = tick + (guard.head_ticks if phase == HEAD else guard.body_ticks)
            return None
        if phase == HEAD:
            return Late.HEAD_TOO_SLOW
        came = self.body_bytes - self.body_seen
        self.body_seen = self.body_bytes
        self.due = tick + guard.body_ticks
        return Late.BODY_TOO_SLOW if came < guard.body_floor_bytes else None
