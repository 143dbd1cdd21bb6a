"""Tests of limits and users as the command line and the daemon talk of them."""

import pytest

from chatvault.control.limits import checked, limits_json, limits_text
from chatvault.control.tokens import TokenOrder
from chatvault.control.users import UserOrder
from chatvault.core.access import AccessToken
from chatvault.errors import UsageError

TOKEN = AccessToken("tok_1", "a", "me", 0, "abcd", budget="5.00/day", requests_per_minute=60, concurrency=4)


def test_limits_are_shown_in_words_and_as_json() -> None:
    assert limits_text(TOKEN) == "$5.00/day, 60 requests/min, 4 at once"
    assert limits_json(TOKEN) == {"budget": "5.00/day", "rpm": 60, "tpm": None, "concurrency": 4}
    assert limits_text(AccessToken("tok_1", "a", "me", 0, "abcd")) == "none"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("budget", "5"),
        ("budget", 5),
        ("concurrency", 0),
        ("concurrency", True),
        ("tokens_per_minute", "7"),
        ("requests_per_minute", 2**31),
    ],
)
def test_a_limit_that_is_none_is_refused(column: str, value: object) -> None:
    with pytest.raises(UsageError):
        checked(column, value)


def test_an_order_survives_the_way_over_the_socket() -> None:
    order = TokenOrder(name="a", budget="5.00/day", requests_per_minute=60, concurrency=4)
    assert TokenOrder.from_json(order.to_json()) == order
    changes = UserOrder("me", {"budget": None, "tokens_per_minute": 7})
    assert UserOrder.from_json(changes.to_json()) == changes


def test_a_budget_is_kept_as_it_is_written_by_us() -> None:
    assert UserOrder.from_json({"name": "me", "budget": "5/day"}).changes == {"budget": "5.00/day"}
    assert TokenOrder.from_json({"name": "a", "budget": "5/day"}).budget == "5.00/day"
