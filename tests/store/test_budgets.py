"""Tests of what the budgets are told was spent."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatvault.core.accounts import Spent
from chatvault.core.budget import Calendar
from chatvault.store import adjustments, budgets
from tests.support.databases import filled, opened
from tests.support.ledger import NOON, a_hold, a_refusal, a_row, request_id

HOUR, DAY = 3_600_000, 86_400_000
BERLIN = ZoneInfo("Europe/Berlin")


def a_cost(number: int, at_ms: int, picousd: int | None, **changes: Any) -> Any:
    more = {"cost_basis": "unpriced"} if picousd is None else {}
    row = a_row(a_hold(number, at_ms=at_ms, is_local=True), cost_picousd=picousd, **changes)
    return row if not more else _unpriced(row)


def _unpriced(row: Any) -> Any:
    from dataclasses import replace

    from chatvault.core.ledger import CostBasis

    return replace(row, cost_picousd=None, cost_basis=CostBasis.UNPRICED)


def spent(path: Path, *, zone: ZoneInfo = BERLIN, now_ms: int = NOON) -> dict[tuple[str, str], Spent]:
    calendar = Calendar(zone, now_ms)
    with opened(path) as store:
        found = store.run(
            lambda tx: budgets.spent(tx.connection, day_ms=calendar.day_ms, month_ms=calendar.month_ms)
        )
    return {(each.token_id, each.user): each for each in found}


def test_days_and_months_begin_in_the_zone(tmp_path: Path) -> None:
    # NOON is 13:00 on 18 November in Berlin, where the day began at 23:00 UTC the day before.
    midnight = NOON - 13 * HOUR
    month = midnight - 17 * DAY
    rows = [
        a_cost(1, midnight - 1, 1),
        a_cost(2, midnight, 10),
        a_cost(3, midnight + HOUR, 100),
        a_cost(4, NOON, 1_000),
        a_cost(5, month - 1, 10_000),
        a_cost(6, month, 100_000),
        a_cost(7, NOON + 3 * DAY, 1_000_000),
        a_cost(8, NOON, 10_000_000, token_id="tok_other", user_id="mia"),
        a_cost(9, NOON, None),
        a_refusal(10),
    ]
    path = filled(tmp_path / "chatvault.db", rows)
    found = spent(path)
    assert found["tok_phone1", "me"] == Spent("tok_phone1", "me", 1_001_110, 1_101_111, 1_111_111)
    assert found["tok_other", "mia"].day_picousd == 10_000_000


def test_an_empty_ledger_has_spent_nothing(tmp_path: Path) -> None:
    assert spent(tmp_path / "chatvault.db") == {}


def test_a_new_price_counts_in_place_of_the_old_one(tmp_path: Path) -> None:
    rows = [a_cost(1, NOON, 100), a_cost(2, NOON, None), a_cost(3, NOON - 2 * DAY, 5)]
    path = filled(tmp_path / "chatvault.db", rows)
    with opened(path) as store:
        for number, at_ms, picousd in ((1, NOON, 7), (1, NOON, 60), (2, NOON, 30), (3, NOON - 2 * DAY, 6)):
            store.run(
                lambda tx, number=number, at_ms=at_ms, picousd=picousd: adjustments.adjust(
                    tx, request_id(at_ms, number), cost_picousd=picousd, rate_card_id=None, reason="test"
                )
            )
    assert spent(path)["tok_phone1", "me"] == Spent("tok_phone1", "me", 90, 96, 96)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(-40 * DAY, 2 * DAY), st.integers(0, 10**13)), max_size=25),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
)
def test_the_sums_are_those_of_the_rows(
    tmp_path_factory: Any, rows: list[tuple[int, int]], name: str
) -> None:
    path = filled(
        tmp_path_factory.mktemp("sums") / "chatvault.db",
        [a_cost(number, NOON + offset, cost) for number, (offset, cost) in enumerate(rows)],
    )
    calendar = Calendar(ZoneInfo(name), NOON)
    found = spent(path, zone=ZoneInfo(name)).get(("tok_phone1", "me"), Spent("tok_phone1", "me", 0, 0, 0))
    assert found.day_picousd == sum(c for offset, c in rows if NOON + offset >= calendar.day_ms)
    assert found.month_picousd == sum(c for offset, c in rows if NOON + offset >= calendar.month_ms)
    assert found.total_picousd == sum(c for _, c in rows)
