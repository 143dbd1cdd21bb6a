"""Tests of how failed logins are answered and written down."""

import asyncio
from collections.abc import Mapping

import pytest

from chatvault.gateway.throttle import LoginThrottle


class Book:
    """Keeps what is recorded."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, Mapping[str, str | int]]] = []

    async def record(self, kind: str, body: Mapping[str, str | int]) -> None:
        self.rows.append((kind, body))


def written(throttle: LoginThrottle) -> list[Mapping[str, str | int]]:
    book = Book()
    asyncio.run(throttle.write_down(book.record))
    assert all(kind == "auth.failures" for kind, _ in book.rows)
    return [body for _, body in book.rows]


def test_after_ten_failures_the_answer_is_429_and_says_how_long_to_wait() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    errors = [throttle.refuse("192.0.2.7") for _ in range(12)]
    assert [error.status for error in errors] == [401] * 10 + [429] * 2
    assert errors[-1].code == "rate_limit_exceeded"
    assert errors[-1].retry_after == 2


def test_an_ipv6_subscriber_is_one_caller() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    errors = [throttle.refuse(f"2001:db8::{at:x}") for at in range(1, 12)]
    assert errors[-1].status == 429


def test_a_minute_makes_one_audit_row_for_an_address() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    for _ in range(1000):
        throttle.refuse("192.0.2.7")
    throttle.refuse("2001:db8:0:1::5")
    assert written(throttle) == [
        {"address": "192.0.2.7", "count": 1000},
        {"address": "2001:db8:0:1::/64", "count": 1},
    ]
    assert written(throttle) == []


def test_a_hundred_thousand_addresses_make_a_bounded_number_of_rows_and_lose_no_count() -> None:
    throttle = LoginThrottle(lambda: 0.0)
    for at in range(100_000):
        throttle.refuse(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}")
    rows = written(throttle)
    assert len(rows) == 51
    assert rows[-1]["address"] == "others"
    assert sum(int(row["count"]) for row in rows) == 100_000


def test_the_log_has_a_line_for_each_that_was_answered_and_one_for_all_that_were_held_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    throttle = LoginThrottle(lambda: 0.0)
    for _ in range(500):
        throttle.refuse("192.0.2.7")
    assert len(caplog.messages) == 10
    assert all("192.0.2.7" in message for message in caplog.messages)
    written(throttle)
    assert "490 more failed logins" in caplog.messages[-1]
    assert len(caplog.messages) == 11
