"""Tests of holds and ledger rows."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.ledger import (
    FREE,
    REFUSED_COST,
    UNPRICED,
    Cost,
    CostBasis,
    Hold,
    LedgerRow,
    Status,
    interrupted,
    settled,
)
from chatvault.core.usage import NO_USAGE, Usage, UsageBasis
from tests.support.ledger import NOON, a_hold


def test_the_columns_keep_their_names_and_their_order() -> None:
    assert " ".join(field.name for field in fields(LedgerRow)) == (
        "id started_at finished_at user_id token_id client_ip via client endpoint model_name provider "
        "upstream_model stream status http_status error_code input_tokens cached_tokens cache_write_tokens "
        "output_tokens reasoning_tokens usage_basis cost_picousd cost_basis rate_card_id ttft_ms duration_ms "
        "upstream_request_id"
    )


def test_a_row_takes_over_everything_its_hold_knows() -> None:
    hold = a_hold()
    row = settled(
        hold, finished_at=NOON + 9, status=Status.OK, http_status=200, usage=NO_USAGE, cost=UNPRICED
    )
    shared = {field.name for field in fields(Hold)} & {field.name for field in fields(LedgerRow)}
    assert {name: getattr(row, name) for name in shared - {"rate_card_id"}} == {
        name: getattr(hold, name) for name in shared - {"rate_card_id"}
    }
    assert (row.finished_at, row.rate_card_id) == (NOON + 9, None)


def test_a_fallback_that_answered_is_the_one_named() -> None:
    row = settled(
        a_hold(),
        finished_at=NOON,
        status=Status.OK,
        http_status=200,
        usage=Usage(input_tokens=3, output_tokens=4, reasoning_tokens=2),
        cost=Cost(12, CostBasis.EXACT, "card"),
        provider="deepseek",
        upstream_model="deepseek-flash",
    )
    assert (row.provider, row.upstream_model, row.rate_card_id) == ("deepseek", "deepseek-flash", "card")
    assert (row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens) == (3, None, 4, 2)


def test_an_interrupted_request_costs_its_ceiling() -> None:
    row = interrupted(a_hold(ceiling_picousd=77), finished_at=NOON + 1)
    assert (row.status, row.cost_picousd, row.cost_basis) == (Status.INTERRUPTED, 77, CostBasis.UPPER_BOUND)
    assert (row.usage_basis, row.input_tokens, row.output_tokens) == (UsageBasis.NONE, None, None)


def test_an_interrupted_request_without_a_price_stays_without_one() -> None:
    row = interrupted(a_hold(ceiling_picousd=None), finished_at=NOON)
    assert (row.cost_picousd, row.cost_basis) == (None, CostBasis.UNPRICED)


def test_an_interrupted_request_at_home_costs_nothing() -> None:
    row = interrupted(a_hold(is_local=True, ceiling_picousd=0), finished_at=NOON)
    assert (row.cost_picousd, row.cost_basis) == (0, CostBasis.LOCAL)


@given(st.none() | st.integers(0, 2**60), st.sampled_from(CostBasis))
def test_a_cost_is_unknown_exactly_when_it_is_unpriced(amount: int | None, basis: CostBasis) -> None:
    if (amount is None) == (basis is CostBasis.UNPRICED):
        assert Cost(amount, basis).picousd == amount
    else:
        with pytest.raises(ValueError, match="does not go with"):
            Cost(amount, basis)


def test_what_is_free_or_refused_costs_a_known_nothing() -> None:
    assert (FREE.picousd, REFUSED_COST.picousd, UNPRICED.picousd) == (0, 0, None)
