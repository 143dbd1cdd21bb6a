"""Tests of accounts: what is held and spent, and when a request may begin."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.account import Account
from chatvault.core.accounts import Accounts, Spent, Ticket, TooMany
from chatvault.core.budget import Budget
from chatvault.core.limits import NO_LIMITS, Limits, written_limits

NOON = 1_795_003_200_000
DAY = 86_400_000
DOLLAR = 10**12


def accounts(
    everyone: Limits = NO_LIMITS, *, token: Limits = NO_LIMITS, user: Limits = NO_LIMITS
) -> Accounts:
    found = Accounts(ZoneInfo("UTC"), NOON)
    found.limit_everyone(everyone, 0)
    found.limit({"t": token}, {"me": user}, now_ms=0)
    return found


def enter(
    of: Accounts, *, at_ms: int = NOON, clock_ms: int = 0, token: str = "t", user: str = "me"
) -> Ticket:
    ticket = of.enter(token, user, now_ms=at_ms, clock_ms=clock_ms)
    assert isinstance(ticket, Ticket)
    return ticket


def all_three(of: Accounts) -> list[Account]:
    return [of.token("t"), of.user("me"), of.everyone]


def room(ticket: Ticket) -> int:
    tightest = ticket.tightest()
    assert tightest is not None
    return tightest[1]


def per_day(dollars: int) -> Limits:
    return Limits(Budget(dollars * DOLLAR, "day"))


def test_a_hold_counts_against_all_three_and_becomes_what_it_cost() -> None:
    of = accounts()
    ticket = enter(of)
    ticket.hold(7)
    assert [(each.held("day"), each.held("month"), each.held("total")) for each in all_three(of)] == [
        (7, 7, 7)
    ] * 3
    ticket.settle(3, 0)
    for account in all_three(of):
        assert (account.held("day"), account.spent("day"), account.spent("total")) == (0, 3, 3)
        assert account.running == 0


def test_a_ticket_is_settled_once() -> None:
    of = accounts()
    ticket = enter(of)
    ticket.hold(7)
    ticket.settle(3, 0)
    ticket.settle(None, 0)
    assert (of.everyone.spent("total"), of.everyone.held("total"), of.everyone.running) == (3, 0, 0)


def test_a_cost_that_nobody_knows_counts_as_all_that_was_held() -> None:
    of = accounts()
    ticket = enter(of)
    ticket.hold(7)
    ticket.settle(None, 0)
    assert of.everyone.spent("total") == 7


@pytest.mark.parametrize("which", ["everyone", "token", "user"])
def test_the_tightest_budget_speaks(which: str) -> None:
    limits = {"everyone": per_day(3), "token": per_day(3), "user": per_day(3), which: per_day(2)}
    of = accounts(limits["everyone"], token=limits["token"], user=limits["user"])
    ticket = enter(of)
    ticket.hold(DOLLAR)
    tightest = enter(of).tightest()
    assert tightest is not None
    assert (tightest[0].kind, tightest[1]) == (which, DOLLAR)


def test_without_a_budget_there_is_no_tightest() -> None:
    assert enter(accounts()).tightest() is None


def test_the_next_day_is_a_new_budget_and_the_month_is_not() -> None:
    of = accounts(per_day(2), token=Limits(Budget(5 * DOLLAR, "month")))
    ticket = enter(of)
    ticket.hold(2 * DOLLAR)
    ticket.settle(2 * DOLLAR, 0)
    later = enter(of, at_ms=NOON + DAY)
    assert room(later) == 2 * DOLLAR
    assert of.token("t").room() == 3 * DOLLAR


def test_a_request_over_midnight_belongs_to_the_day_it_began_in() -> None:
    of = accounts(per_day(2))
    ticket = enter(of)
    ticket.hold(2 * DOLLAR)
    tomorrow = enter(of, at_ms=NOON + DAY)
    tomorrow.hold(DOLLAR)
    ticket.settle(2 * DOLLAR, 0)
    assert (of.everyone.spent("day"), of.everyone.held("day")) == (0, DOLLAR)
    assert (of.everyone.spent("month"), of.everyone.held("month")) == (2 * DOLLAR, DOLLAR)
    tomorrow.settle(0, 0)
    assert (of.everyone.held("day"), of.everyone.held("total")) == (0, 0)


def test_a_hold_taken_after_midnight_comes_off_the_day_it_was_taken_from() -> None:
    of = accounts(per_day(2))
    ticket = enter(of)
    enter(of, at_ms=NOON + DAY)
    ticket.hold(DOLLAR)
    assert of.everyone.held("day") == DOLLAR
    ticket.settle(DOLLAR, 0)
    assert (of.everyone.held("day"), of.everyone.spent("day")) == (0, DOLLAR)


def test_a_clock_set_back_does_not_free_a_spent_budget() -> None:
    of = accounts(per_day(2))
    ticket = enter(of)
    ticket.hold(2 * DOLLAR)
    ticket.settle(2 * DOLLAR, 0)
    assert room(enter(of, at_ms=NOON - 3 * DAY)) == 0


def test_what_the_ledger_says_was_spent_counts() -> None:
    of = accounts(per_day(2))
    of.restore([Spent("t", "me", 1, 2, 3), Spent("other", "me", 10, 20, 30)])
    assert [of.token("t").spent(per) for per in ("day", "month", "total")] == [1, 2, 3]
    assert [of.user("me").spent(per) for per in ("day", "month", "total")] == [11, 22, 33]
    assert of.everyone.spent("total") == 33


def test_a_new_price_counts_in_the_day_the_request_began_in() -> None:
    of = accounts(per_day(2))
    of.adjust("t", "me", started_ms=NOON, picousd=5)
    of.adjust("t", "me", started_ms=NOON - DAY, picousd=3)
    of.adjust("t", "me", started_ms=NOON - 40 * DAY, picousd=-1)
    assert [of.everyone.spent(per) for per in ("day", "month", "total")] == [5, 8, 7]


def test_concurrency_is_given_back_at_the_end() -> None:
    of = accounts(user=Limits(concurrency=2))
    first = enter(of)
    enter(of, token="other")
    denied = of.enter("t", "me", now_ms=NOON, clock_ms=0)
    assert isinstance(denied, TooMany)
    assert (denied.what, denied.account.kind) == ("concurrency", "user")
    assert of.everyone.running == 2
    first.settle(0, 0)
    enter(of)


def test_a_refused_request_takes_nothing_from_any_rate() -> None:
    of = accounts(Limits(requests_per_minute=1), token=Limits(requests_per_minute=5))
    enter(of)
    denied = of.enter("t", "me", now_ms=NOON, clock_ms=0)
    assert isinstance(denied, TooMany)
    assert (denied.what, denied.wait_ms) == ("requests", 60_000)
    bucket = of.token("t").requests
    assert bucket is not None and bucket.left(0) == 4
    enter(of, clock_ms=60_000)


def test_tokens_are_taken_as_estimated_and_put_right_at_the_end() -> None:
    of = accounts(token=Limits(tokens_per_minute=1000))
    bucket = of.token("t").tokens
    assert bucket is not None
    ticket = enter(of)
    assert ticket.take_tokens(400, 0) is None
    assert bucket.left(0) == 600
    other = enter(of)
    denied = other.take_tokens(700, 0)
    assert denied is not None and denied.wait_ms == 6_000
    ticket.settle(0, 100)
    assert bucket.left(0) == 900
    assert other.take_tokens(700, 0) is None
    other.settle(0, 1500)
    assert bucket.left(0) == 0


def test_limits_change_while_requests_run() -> None:
    of = accounts()
    ticket = enter(of)
    ticket.hold(DOLLAR)
    of.limit({"t": per_day(3)}, {}, now_ms=0)
    assert of.token("t").room() == 2 * DOLLAR
    of.limit({}, {}, now_ms=0)
    assert of.token("t").room() is None
    assert of.limited(NOON) == []


@pytest.mark.parametrize("which", ["everyone", "token", "user"])
def test_a_hold_is_raised_in_all_accounts_or_in_none(which: str) -> None:
    of = accounts(**{which: Limits(Budget(10, "day"))})
    ticket = enter(of)
    ticket.hold(4)
    assert ticket.raise_to(4) and ticket.raise_to(3)
    assert not ticket.raise_to(11)
    assert [each.held("day") for each in all_three(of)] == [4] * 3
    assert ticket.most() == 10
    assert ticket.raise_to(10)
    assert [(each.held("day"), each.held("month"), each.held("total")) for each in all_three(of)] == [
        (10, 10, 10)
    ] * 3
    ticket.settle(9, 0)
    assert [(each.held("day"), each.spent("day")) for each in all_three(of)] == [(0, 9)] * 3


def test_without_a_budget_a_hold_is_raised_as_far_as_need_be() -> None:
    ticket = enter(of := accounts())
    ticket.hold(1)
    assert ticket.most() is None
    assert ticket.raise_to(10**15)
    ticket.settle(2, 0)
    assert [each.held("total") for each in all_three(of)] == [0] * 3


@pytest.mark.parametrize(("per", "has_room"), [("day", False), ("month", True), ("total", True)])
def test_a_hold_is_not_raised_in_a_day_that_is_over(per: str, has_room: bool) -> None:
    of = accounts(Limits(Budget(10, per)))  # type: ignore[arg-type]
    ticket = enter(of)
    ticket.hold(4)
    enter(of, at_ms=NOON + DAY).settle(0, 0)
    assert ticket.raise_to(8) == has_room
    assert of.everyone.held("day") == 0
    assert of.everyone.held("month") == (8 if has_room else 4)
    ticket.settle(8, 0)
    assert [of.everyone.held(each) for each in ("day", "month", "total")] == [0, 0, 0]
    assert (of.everyone.spent("day"), of.everyone.spent("month")) == (0, 8)


def test_a_lowered_budget_leaves_what_is_held_and_raises_nothing() -> None:
    ticket = enter(of := accounts(Limits(Budget(10, "day"))))
    ticket.hold(8)
    of.limit_everyone(Limits(Budget(5, "day")), 0)
    assert ticket.most() == 8
    assert ticket.raise_to(8) and not ticket.raise_to(9)
    ticket.settle(8, 0)


def test_limits_are_read_as_they_are_written_down() -> None:
    found = written_limits("5/day", requests_per_minute=1, tokens_per_minute=None, concurrency=2)
    assert found == Limits(Budget(5 * DOLLAR, "day"), 1, None, 2)
    with pytest.raises(ValueError):
        replace(found, concurrency=0)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=80)
)
def test_no_order_of_events_overdraws_a_budget_or_leaves_a_hold(
    events: list[tuple[int, int, int, bool]],
) -> None:
    of = Accounts(ZoneInfo("UTC"), NOON)
    of.limit_everyone(Limits(Budget(30, "day")), 0)
    of.limit({"0": Limits(Budget(12, "total"))}, {"1": Limits(Budget(15, "month"))}, now_ms=0)
    running: list[tuple[Ticket, int]] = []
    now = NOON
    for which, amount, part, is_end in events:
        now += (amount * part) * 1_000_000
        if is_end and running:
            ticket, held = running.pop(part % len(running))
            if ticket.raise_to(held + amount):
                held += amount
            ticket.settle(min(held, part + amount), 0)
            continue
        ticket = enter(of, token=str(which), user=str(which % 2), at_ms=now)
        if (tightest := ticket.tightest()) is None or amount <= tightest[1]:
            ticket.hold(amount)
            running.append((ticket, amount))
        else:
            ticket.settle(0, 0)
        for account in of.limited(NOON):
            left = account.room()
            assert left is not None and left >= 0
    for ticket, held in running:
        ticket.settle(held, 0)
    for account in (of.everyone, of.token("0"), of.user("1")):
        assert account.running == 0
        assert [account.held(per) for per in ("day", "month", "total")] == [0, 0, 0]
