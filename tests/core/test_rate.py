"""Tests of buckets: so many a minute, never more."""

from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.rate import Bucket


def test_a_minutes_share_may_go_at_once_and_comes_back_evenly() -> None:
    bucket = Bucket(6, 0)
    for _ in range(6):
        assert bucket.wait_ms(1, 0) == 0
        bucket.take(1)
    assert (bucket.wait_ms(1, 0), bucket.left(0), bucket.full_in_ms()) == (10_000, 0, 60_000)
    assert bucket.wait_ms(1, 9_999) == 1
    assert bucket.wait_ms(1, 10_000) == 0
    assert bucket.wait_ms(2, 10_000) == 10_000
    assert bucket.wait_ms(6, 1_000_000) == 0


def test_a_debt_is_paid_off_first() -> None:
    bucket = Bucket(60, 0)
    bucket.take(90)
    assert bucket.left(0) == 0
    assert bucket.wait_ms(1, 0) == 31_000
    assert bucket.wait_ms(1, 31_000) == 0


def test_what_was_too_much_is_given_back() -> None:
    bucket = Bucket(60, 0)
    bucket.take(60)
    bucket.take(-20)
    assert bucket.wait_ms(20, 0) == 0
    assert bucket.left(0) == 20


def test_what_is_given_back_late_makes_no_bucket_fuller_than_full() -> None:
    bucket = Bucket(60, 0)
    bucket.take(30)
    assert bucket.left(30_000) == 60
    bucket.take(-30)
    assert bucket.left(30_000) == 60


def test_more_than_there_ever_is_goes_through_when_the_bucket_is_full() -> None:
    bucket = Bucket(10, 0)
    assert bucket.wait_ms(500, 0) == 0
    bucket.take(1)
    assert bucket.wait_ms(500, 0) == 6_000


def test_a_new_size_keeps_what_was_taken() -> None:
    bucket = Bucket(10, 0)
    bucket.take(8)
    bucket.resize(5)
    assert bucket.left(0) == 0
    bucket.resize(20)
    assert bucket.left(0) == 12


def test_a_clock_that_stands_still_or_runs_back_gives_nothing() -> None:
    bucket = Bucket(1, 60_000)
    bucket.take(1)
    assert bucket.wait_ms(1, 0) == 60_000


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 5)), max_size=60))
def test_no_span_of_time_lets_more_through_than_it_holds(
    per_minute: int, steps: list[tuple[int, int]]
) -> None:
    bucket = Bucket(per_minute, 0)
    now, taken = 0, []
    for pause, count in steps:
        now += pause
        if bucket.wait_ms(count, now) == 0:
            bucket.take(count)
            taken.append((now, min(count, per_minute)))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span = taken[last][0] - taken[first][0]
            through = sum(count for _, count in taken[first : last + 1])
            assert through <= per_minute + span * per_minute / 60_000


@given(st.integers(1, 1000), st.integers(0, 3000), st.integers(1, 10), st.integers(0, 100_000))
def test_the_wait_that_is_told_is_enough_and_not_too_long(
    per_minute: int, taken: int, count: int, now: int
) -> None:
    bucket = Bucket(per_minute, 0)
    bucket.take(taken)
    wait = bucket.wait_ms(count, now)
    assert bucket.wait_ms(count, now + wait) == 0
    if wait > 1:
        again = Bucket(per_minute, 0)
        again.take(taken)
        assert again.wait_ms(count, now + wait - 1) > 0
