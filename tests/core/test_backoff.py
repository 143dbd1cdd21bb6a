"""How long is waited before the relay is tried again."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.backoff import Kind, TakeOvers, is_stable, pause_seconds

_KINDS = [kind for kind in get_args(Kind) if kind != "permanent"]


@given(
    kind=st.sampled_from(_KINDS),
    attempt=st.integers(0, 1_000_000),
    outage=st.floats(0, 1e9),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_no_pause_is_longer_than_half_a_minute(
    kind: Kind, attempt: int, outage: float, chance: float
) -> None:
    assert 0 <= pause_seconds(kind, attempt, outage_seconds=outage, chance=chance) <= 30


@pytest.mark.parametrize("kind", _KINDS)
def test_the_first_retry_comes_at_once(kind: Kind) -> None:
    assert pause_seconds(kind, 0, outage_seconds=0, chance=0.99) == 0


def test_the_cap_doubles_up_to_half_a_minute() -> None:
    caps = [pause_seconds("broken", attempt, outage_seconds=1e6, chance=1.0) for attempt in range(1, 10)]
    assert caps == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("kind", _KINDS)
def test_a_pause_is_a_matter_of_chance_alone(kind: Kind) -> None:
    pauses = {pause_seconds(kind, 5, outage_seconds=200, chance=chance / 10) for chance in range(10)}
    assert len(pauses) == 10


def test_silence_is_met_often_at_first() -> None:
    assert pause_seconds("silent", 50, outage_seconds=60, chance=1.0) == 0.5
    assert pause_seconds("silent", 50, outage_seconds=600, chance=1.0) == 30


def test_a_taken_port_is_tried_about_once_a_second_at_first() -> None:
    pauses = [pause_seconds("busy", 9, outage_seconds=10, chance=chance) for chance in (0.0, 0.5, 1.0)]
    assert pauses == [0.5, 1.0, 1.5]


def test_another_daemon_is_asked_about_twice_a_minute() -> None:
    pauses = [pause_seconds("contended", 9, outage_seconds=10, chance=chance) for chance in (0.0, 1.0)]
    assert pauses == [21, 30]


def test_a_permanent_fault_is_not_waited_out() -> None:
    with pytest.raises(ValueError, match="nothing is to be gained"):
        pause_seconds("permanent", 1, outage_seconds=0, chance=0)


def test_half_a_minute_makes_a_link_stable() -> None:
    assert not is_stable(29.9)
    assert is_stable(30)


def test_three_take_overs_in_a_minute_are_a_fight() -> None:
    taken = TakeOvers().with_one_at(0).with_one_at(20)
    assert not taken.is_a_fight(20)
    taken = taken.with_one_at(40)
    assert taken.is_a_fight(59)
    assert not taken.is_a_fight(61)
