"""Who may connect, and for how long a connection may keep us waiting: one guard for all connections.

uvicorn keeps half a request open for ever and takes heads of any size; a public port can't afford that. The
deadlines are kept by one sweep a second over all connections, so that a request pays for reading a number and
an answer's chunks pay nothing.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from chatvault.core.client_address import counted_as, is_loopback
from chatvault.gateway.hosts import Hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """What a connection may take. Seconds are kept to the tick: nobody is cut early, nor over a tick late."""

    max_connections: int = 1024
    max_connections_per_address: int = 64
    max_body_bytes: int = 20_000_000
    max_head_bytes: int = 16_384
    max_headers: int = 64
    # More than any client sends before it has had an answer; each one waiting holds memory.
    max_pipelined: int = 32
    first_byte_seconds: float = 10.0
    head_seconds: float = 10.0
    # Over each such span a body has to come at the floor rate (64 kbit/s); within one it may rest.
    body_grace_seconds: float = 30.0
    body_floor_bytes_per_second: int = 8_000
    # Clients keep connections for a minute or so; the side that closes first decides who meets the race.
    keep_alive_seconds: float = 75.0
    # A client that is sent something and does not read: over each such span it has to take what waits for it
    # at this rate. No line is so slow; but for a byte a minute nobody shall hold a place.
    stall_seconds: float = 60.0
    stall_floor_bytes_per_second: int = 100
    # After a refusal: what is still coming is thrown away, so that the client gets to read why.
    linger_seconds: float = 3.0
    tick_seconds: float = 1.0

    def ticks(self, seconds: float) -> int:
        """Return how many ticks are never less than `seconds`."""
        return int(seconds / self.tick_seconds) + 1


class Watched(Protocol):
    """A connection, as the guard looks after it."""

    def check(self, tick: int) -> None:
        """End it if it has kept us waiting."""

    def idleness(self) -> tuple[int, int] | None:
        """How little is lost with it, least first: (0, tick) has asked for nothing yet, (1, tick) rests.

        None while it is being answered.
        """

    def evict(self) -> None:
        """End it at once, to make room."""


@dataclass(frozen=True, slots=True)
class TooMany:
    """Why a connection is not let in."""

    status: int
    code: str
    message: str


_VICTIMS = 64
_FULL = TooMany(503, "overloaded", "This gateway has all the connections it takes (server.max_connections).")
_GREEDY = TooMany(
    429,
    "rate_limit_exceeded",
    "Your address has all the connections it may have (server.max_connections_per_address).",
)


class Guard:
    """Count connections, and sweep over them. `tick` is its clock.

    When all places are taken, a newcomer is given the place of the one that has done least with its own: who
    opens thousands of connections displaces his own silent ones, and an honest client gets in between.
    """

    def __init__(self, limits: GuardLimits, hosts: Hosts) -> None:
        self.limits = limits
        self.hosts = hosts
        self.tick = 0
        self.refused = 0
        """How many connections were turned away at once."""
        self.evicted = 0
        """How many connections had to make room for a newer one."""
        self.max_head_bytes = limits.max_head_bytes
        self.max_headers = limits.max_headers
        self.first_byte_ticks = limits.ticks(limits.first_byte_seconds)
        self.head_ticks = limits.ticks(limits.head_seconds)
        self.body_ticks = limits.ticks(limits.body_grace_seconds)
        self.body_floor_bytes = limits.body_floor_bytes_per_second * limits.body_grace_seconds
        self.keep_alive_ticks = limits.ticks(limits.keep_alive_seconds)
        self.stall_ticks = limits.ticks(limits.stall_seconds)
        self.stall_floor_bytes = max(1, int(limits.stall_floor_bytes_per_second * limits.stall_seconds))
        self.linger_ticks = limits.ticks(limits.linger_seconds)
        self._watched: dict[Watched, str] = {}
        self._per_address: dict[str, int] = {}
        self._victims: list[Watched] = []

    def __len__(self) -> int:
        return len(self._watched)

    def is_greedy(self, address: str, *, via: str) -> bool:
        """Whether an address has all the connections it may have; this machine's own is exempt."""
        if via == "local" and is_loopback(address):
            return False
        return self._per_address.get(counted_as(address), 0) >= self.limits.max_connections_per_address

    def enter(self, connection: Watched, address: str, *, via: str) -> TooMany | None:
        """Let a connection in, or say why not."""
        key = counted_as(address)
        if self.is_greedy(address, via=via):
            self.refused += 1
            return _GREEDY
        if len(self._watched) >= self.limits.max_connections and not self._make_room():
            self.refused += 1
            return _FULL
        self._watched[connection] = key
        self._per_address[key] = self._per_address.get(key, 0) + 1
        return None

    def _make_room(self) -> bool:
        """Evict a connection that nothing is being done for, if there is one."""
        for _ in range(2):
            while self._victims:
                victim = self._victims.pop()
                if victim in self._watched and victim.idleness() is not None:
                    self.leave(victim)
                    victim.evict()
                    self.evicted += 1
                    return True
            # Looking through all of them is dear: what is found is kept for those who come next.
            idle = [(found, at) for at, each in enumerate(self._watched) if (found := each.idleness())]
            connections = list(self._watched)
            self._victims = [connections[at] for _, at in sorted(idle)[:_VICTIMS]]
            self._victims.reverse()
        return False

    def leave(self, connection: Watched) -> None:
        """Forget a connection; one that never came in is no matter."""
        key = self._watched.pop(connection, None)
        if key is None:
            return
        left = self._per_address[key] - 1
        if left:
            self._per_address[key] = left
        else:
            del self._per_address[key]

    def succeed(self, before: Watched, after: Watched) -> None:
        """Put `after` in the place of `before`: the same connection, one layer up."""
        key = self._watched.pop(before, None)
        if key is not None:
            self._watched[after] = key

    def sweep(self) -> None:
        """Let one tick pass."""
        self.tick += 1
        for connection in list(self._watched):
            connection.check(self.tick)

    async def run(self) -> None:
        """Sweep for as long as the daemon runs."""
        while True:
            await asyncio.sleep(self.limits.tick_seconds)
            self.sweep()
