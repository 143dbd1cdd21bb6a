"""Tests of the limits on failed logins."""

from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.login_limits import LoginLimits


def test_ten_a_minute_are_free_and_the_next_one_waits() -> None:
    limits = LoginLimits()
    assert [limits.failed("a", now=100.0) for _ in range(10)] == [0.0] * 10
    assert limits.failed("a", now=100.0) > 0


def test_the_delay_grows_each_time_it_has_been_waited_out() -> None:
    limits = LoginLimits(per_minute=1)
    now, delays = 0.0, []
    for _ in range(400):
        delay = limits.failed("a", now=now)
        if delay and (not delays or delay != delays[-1]):
            delays.append(delay)
        now += delay or 0.01
    assert delays[:4] == [2.0, 4.0, 8.0, 16.0]
    assert max(delays) <= 300.0


def test_who_knocks_while_waiting_is_told_what_is_left_of_the_wait() -> None:
    limits = LoginLimits(per_minute=1)
    limits.failed("a", now=0.0)
    assert limits.failed("a", now=0.0) == 2.0
    assert limits.failed("a", now=1.5) == 0.5


def test_one_callers_failures_are_no_others() -> None:
    limits = LoginLimits()
    for _ in range(50):
        limits.failed("a", now=0.0)
    assert limits.failed("b", now=0.0) == 0.0


def test_all_callers_together_have_a_limit_too() -> None:
    limits = LoginLimits(in_all=100)
    answers = [limits.failed(f"caller {at}", now=0.0) for at in range(150)]
    assert answers.count(0.0) == 100
    assert limits.failed("another", now=60.0) == 0.0


def test_a_minute_later_all_is_forgiven() -> None:
    limits = LoginLimits()
    for _ in range(10):
        limits.failed("a", now=0.0)
    assert [limits.failed("a", now=60.0) for _ in range(10)] == [0.0] * 10


@given(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 30)), max_size=300))
def test_memory_is_bounded_and_waits_are_never_negative(knocks: list[tuple[int, float]]) -> None:
    limits = LoginLimits(max_callers=20)
    now = 0.0
    for caller, pause in knocks:
        now += pause
        assert 0.0 <= limits.failed(str(caller), now=now) <= 300.0
        assert len(limits) <= 20
