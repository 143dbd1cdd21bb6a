"""Tests of who may connect."""

import pytest

from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts


class Connection:
    """A connection that is busy, or as idle as it says."""

    def __init__(self, idleness: tuple[int, int] | None = None) -> None:
        self._idleness = idleness
        self.is_evicted = False
        self.checks: list[int] = []

    def check(self, tick: int) -> None:
        self.checks.append(tick)

    def idleness(self) -> tuple[int, int] | None:
        return self._idleness

    def evict(self) -> None:
        self.is_evicted = True


def guard(**limits: int) -> Guard:
    return Guard(GuardLimits(**{"max_connections_per_address": 3, **limits}), Hosts())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "addresses",
    [["192.0.2.7"] * 4, [f"2001:db8::{at}" for at in range(4)], ["192.0.2.7", "::ffff:192.0.2.7"] * 2],
    ids=["IPv4", "one /64", "IPv4 in IPv6"],
)
def test_one_address_has_so_many_connections(addresses: list[str]) -> None:
    one = guard()
    for address in addresses[:3]:
        assert one.enter(Connection(), address, via="local") is None
    refused = one.enter(Connection(), addresses[3], via="local")
    assert refused is not None and refused.status == 429
    assert one.enter(Connection(), "192.0.2.8", via="local") is None, "the next one has its own"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", ""])
def test_loopback_is_exempt(address: str) -> None:
    one = guard()
    assert all(one.enter(Connection(), address, via="local") is None for _ in range(50))


def test_the_relays_own_loopback_is_not() -> None:
    one = guard()
    answers = [one.enter(Connection(), "127.0.0.1", via="tunnel") for _ in range(4)]
    assert answers[:3] == [None] * 3 and answers[3] is not None


def test_who_leaves_makes_room() -> None:
    one = guard()
    connections = [Connection() for _ in range(3)]
    for each in connections:
        one.enter(each, "192.0.2.7", via="local")
    one.leave(connections[0])
    one.leave(connections[0])
    assert one.enter(Connection(), "192.0.2.7", via="local") is None
    assert one.enter(Connection(), "192.0.2.7", via="local") is not None


def test_the_layer_above_takes_over_the_place() -> None:
    one = guard(max_connections=1)
    below, above = Connection(), Connection()
    one.enter(below, "192.0.2.7", via="local")
    one.succeed(below, above)
    one.sweep()
    assert (below.checks, above.checks) == ([], [1])
    one.leave(below)
    assert len(one) == 1
    one.leave(above)
    assert len(one) == 0


def test_when_all_are_busy_a_newcomer_is_turned_away() -> None:
    one = guard(max_connections=2)
    for at in range(2):
        one.enter(Connection(), f"192.0.2.{at}", via="local")
    refused = one.enter(Connection(), "192.0.2.9", via="local")
    assert refused is not None and refused.status == 503


def test_the_one_that_has_done_least_makes_room_the_oldest_first() -> None:
    one = guard(max_connections=4)
    rests, new, old, busy = Connection((1, 0)), Connection((0, 9)), Connection((0, 5)), Connection()
    for each in (rests, new, old, busy):
        one.enter(each, "127.0.0.1", via="local")
    for expected in (old, new, rests):
        assert one.enter(Connection(), "127.0.0.1", via="local") is None
        assert expected.is_evicted
    assert one.enter(Connection(), "127.0.0.1", via="local") is not None
    assert not busy.is_evicted
    assert len(one) == 4


def test_deadlines_are_never_shorter_than_they_say() -> None:
    limits = GuardLimits(tick_seconds=1.0)
    assert limits.ticks(10.0) == 11
    assert GuardLimits(tick_seconds=0.3).ticks(1.0) * 0.3 >= 1.0
