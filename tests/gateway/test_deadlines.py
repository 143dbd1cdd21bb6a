"""Tests of how a connection ends that keeps us waiting."""

import pytest

from chatvault.gateway.deadlines import BODY, FIRST, HEAD, IDLE, OVER, Deadlines, Late
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts

GUARD = Guard(GuardLimits(body_grace_seconds=10, body_floor_bytes_per_second=100), Hosts())


@pytest.mark.parametrize(
    ("phase", "late"),
    [
        (FIRST, Late.CLOSE),
        (IDLE, Late.CLOSE),
        (HEAD, Late.HEAD_TOO_SLOW),
        (BODY, Late.BODY_TOO_SLOW),
        (OVER, Late.ABORT),
    ],
)
def test_what_is_late_ends_as_befits_it(phase: int, late: Late) -> None:
    deadlines = Deadlines()
    deadlines.phase = phase
    assert deadlines.late(GUARD, 50, is_reading=True) is late


@pytest.mark.parametrize(("phase", "more"), [(HEAD, GUARD.head_ticks), (BODY, GUARD.body_ticks)])
def test_nobody_is_late_while_it_is_us_who_do_not_read(phase: int, more: int) -> None:
    deadlines = Deadlines()
    deadlines.phase = phase
    assert deadlines.late(GUARD, 50, is_reading=False) is None
    assert deadlines.due == 50 + more


def test_a_body_has_another_span_for_each_in_which_it_came_at_the_floor_rate() -> None:
    deadlines = Deadlines()
    deadlines.phase = BODY
    deadlines.body_bytes = 5000
    assert deadlines.late(GUARD, 50, is_reading=True) is None
    assert deadlines.due == 50 + GUARD.body_ticks
    deadlines.body_bytes += 1000
    assert deadlines.late(GUARD, 61, is_reading=True) is None
    deadlines.body_bytes += 999
    assert deadlines.late(GUARD, 72, is_reading=True) is Late.BODY_TOO_SLOW, "what came before is no credit"
