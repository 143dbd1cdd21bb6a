from datetime import UTC, datetime
from typing import Literal, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.ledger import Cost, CostBasis
from chatvault.core.price_table import CARDS
from chatvault.core.pricing import Modifier, PriceBook, Prices, RateCard, Tier, ceiling, cost
from chatvault.core.usage import NO_USAGE, Pass, Usage, UsageBasis

BOOK = PriceBook()
USD = 10**12


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOON = ms("2026-11-25T12:00")


def card(model: str, *, at: str = "2026-11-25T12:00") -> RateCard:
    kind = "deepseek" if "deepseek" in model else "anthropic"
    found = BOOK.find(kind, kind, model, at_ms=ms(at))
    assert found is not None
    return found


def price(model: str, usage: Usage, *, start: str = "2026-11-25T12:00", seconds: float = 2.0) -> Cost:
    begun = ms(start)
    return cost(card(model, at=start), usage, started_ms=begun, finished_ms=begun + int(seconds * 1000))


def exact(model: str, usage: Usage, *, start: str = "2026-11-25T12:00") -> int:
    found = price(model, usage, start=start)
    assert found.basis is CostBasis.EXACT
    assert found.picousd is not None
    return found.picousd


# --- what providers bill: every expectation is worked out by hand, in USD


def test_an_hours_cache_write_is_billed_at_twice_the_input_price() -> None:
    # 50,000 × $8/M = $0.40.
    usage = Usage(
        input_tokens=50_000, cache_write_tokens=50_000, cache_write_1h_tokens=50_000, output_tokens=0
    )
    assert exact("claude-opus-5-5", usage) == 400_000_000_000


def test_every_class_of_tokens_is_billed_at_its_own_price() -> None:
    # opus-5-5, 100,000 in: 80,000 read × $0.20/M = 0.016; 12,000 written, 2,000 of them for an hour:
    # 10,000 × $5/M = 0.05 and 2,000 × $8/M = 0.016; 8,000 plain × $4/M = 0.032; 1,000 out × $20/M = 0.02.
    # Together $0.134.
    usage = Usage(100_000, 80_000, 12_000, 2_000, 1_000, 400)
    assert exact("claude-opus-5-5", usage) == 134_000_000_000


def test_reasoning_is_part_of_the_output_and_billed_once() -> None:
    # 10 × $2/M + 1,000 × $10/M = 0.00002 + 0.01.
    with_reasoning = Usage(input_tokens=10, output_tokens=1_000, reasoning_tokens=900)
    assert exact("claude-sonnet-5-5", with_reasoning) == 10_020_000_000


@pytest.mark.parametrize(
    ("in_tokens", "cached", "expected"),
    [
        # 100,000 × $0.10/M = 0.01; 1,000 out × $0.50/M = 0.0005.
        (100_000, 0, 10_500_000_000),
        # One token more moves the whole request: 100,001 × $0.50/M = 0.0500005; 1,000 × $2.50/M = 0.0025.
        (100_001, 0, 52_500_500_000),
        # The cached part counts: 60,000 × $0.50/M = 0.03; 90,000 × $0.05/M = 0.0045; + 0.0025.
        (150_000, 90_000, 37_000_000_000),
    ],
)
def test_the_whole_prompt_chooses_the_tier_of_the_whole_request(
    in_tokens: int, cached: int, expected: int
) -> None:
    usage = Usage(input_tokens=in_tokens, cached_tokens=cached, output_tokens=1_000)
    assert exact("claude-haiku-5-5", usage) == expected


def test_an_hours_write_above_the_tier_costs_the_tiers_price() -> None:
    # 120,000 × $1.00/M = 0.12.
    usage = Usage(120_000, 0, 120_000, 120_000, 0)
    assert exact("claude-haiku-5-5", usage) == 120_000_000_000


@pytest.mark.parametrize(
    ("modifiers", "expected"),
    [
        # opus-5-5: 10,000 × $4/M + 1,000 × $20/M = 0.04 + 0.02 = $0.06.
        ((), 60_000_000_000),
        (("speed:fast",), 120_000_000_000),
        (("geo:us",), 66_000_000_000),
        (("tier:batch",), 30_000_000_000),
        # 0.06 × 2 × 1.1 = 0.132; a modifier named twice holds once.
        (("speed:fast", "geo:us"), 132_000_000_000),
        (("geo:us", "geo:us"), 66_000_000_000),
        # Words for "nothing special" change nothing.
        (("tier:standard", "geo:global"), 60_000_000_000),
    ],
)
def test_a_modifier_multiplies_exactly(modifiers: tuple[str, ...], expected: int) -> None:
    usage = Usage(input_tokens=10_000, output_tokens=1_000, modifiers=modifiers)
    assert exact("claude-opus-5-5", usage) == expected


def test_a_modifier_nobody_knows_makes_the_cost_an_estimate() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=1_000, modifiers=("tier:priority",))
    assert price("claude-opus-5-5", usage) == Cost(
        60_000_000_000, CostBasis.ESTIMATED, card("claude-opus-5-5").id
    )


def test_web_searches_are_billed_beside_the_tokens_and_never_modified() -> None:
    # sonnet-5-5: 10,000 × $2/M + 1,000 × $10/M = 0.03; 5 searches × $0.01 = 0.05; 0.03 × 1.1 + 0.05 = 0.083.
    usage = Usage(input_tokens=10_000, output_tokens=1_000, web_searches=5)
    assert exact("claude-sonnet-5-5", usage) == 80_000_000_000
    in_the_us = Usage(input_tokens=10_000, output_tokens=1_000, web_searches=5, modifiers=("geo:us",))
    assert exact("claude-sonnet-5-5", in_the_us) == 83_000_000_000


def test_a_write_total_above_its_breakdown_is_billed_whole() -> None:
    # sonnet-5-5: 184,457 × $2.50/M = 0.4611425, whatever part of it the breakdown explains.
    usage = Usage(input_tokens=184_457, cache_write_tokens=184_457, cache_write_1h_tokens=0, output_tokens=0)
    assert exact("claude-sonnet-5-5", usage) == 461_142_500_000


def test_a_read_price_that_fell_is_the_old_one_for_old_requests() -> None:
    # 100,000 read × $0.20/M = 0.02 before 2026-10-07, × $0.10/M = 0.01 from then on.
    usage = Usage(input_tokens=100_000, cached_tokens=100_000, output_tokens=0)
    assert exact("claude-sonnet-5-5", usage, start="2026-10-06T23:59") == 20_000_000_000
    assert exact("claude-sonnet-5-5", usage, start="2026-10-07T00:00") == 10_000_000_000


# deepseek-v4-pro, 15,000 in of which 5,000 cached, 2,900 out:
# off-peak 10,000 × 0.66/M + 5,000 × 0.022/M + 2,900 × 1.98/M = 0.0066 + 0.00011 + 0.005742 = $0.012452.
PRO = Usage(input_tokens=15_000, cached_tokens=5_000, output_tokens=2_900)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2026-11-25T20:00", 12_452_000_000),  # Wednesday evening
        ("2026-11-25T02:00", 24_904_000_000),  # Wednesday, peak: twice as much
        ("2026-11-28T02:00", 12_452_000_000),  # Saturday
        ("2026-10-01T02:00", 12_452_000_000),  # National Day
    ],
)
def test_deepseek_is_dearer_in_its_peak_hours(start: str, expected: int) -> None:
    assert exact("deepseek-v4-pro", PRO, start=start) == expected


def test_a_request_over_a_peak_boundary_costs_the_higher_price_as_an_upper_bound() -> None:
    for start in ("2026-11-25T00:59:59", "2026-11-25T03:59:59"):
        found = price("deepseek-v4-pro", PRO, start=start)
        assert (found.picousd, found.basis) == (24_904_000_000, CostBasis.UPPER_BOUND)


def test_beyond_the_holiday_table_a_working_hour_is_an_upper_bound() -> None:
    found = price("deepseek-v4-pro", PRO, start="2027-01-04T02:00")
    assert (found.picousd, found.basis) == (24_904_000_000, CostBasis.UPPER_BOUND)


def test_the_cheapest_token_there_is_costs_whole_picodollars() -> None:
    # 1 read at deepseek-flash, off-peak: $0.003/M = 3,000 picodollars.
    assert exact("deepseek-flash", Usage(input_tokens=1, cached_tokens=1, output_tokens=0)) == 3_000


# --- calls of several passes


def test_each_pass_is_priced_by_its_own_tier() -> None:
    # haiku-5-5. A compaction of 101,000 in, 80 out: 101,000 × 0.50/M + 80 × 2.50/M = 0.0505 + 0.0002.
    # The answer, 200 in, 10 out: 200 × 0.10/M + 10 × 0.50/M = 0.00002 + 0.000005. Together $0.050725.
    usage = Usage(
        input_tokens=101_200,
        output_tokens=90,
        passes=(Pass(Usage(101_000, output_tokens=80)), Pass(Usage(200, output_tokens=10))),
    )
    assert exact("claude-haiku-5-5", usage) == 50_725_000_000


def test_an_advisors_pass_is_priced_by_its_own_model() -> None:
    # sonnet-5-5: 1,000 × 2/M + 100 × 10/M = 0.003; its advisor opus-5-5: 1,000 × 4/M + 100 × 20/M = 0.006.
    # The call's geo:us holds for both: (0.003 + 0.006) × 1.1 = 0.0099; one search: + 0.01.
    run = Usage(1_000, output_tokens=100)
    usage = Usage(
        2_000,
        output_tokens=200,
        web_searches=1,
        modifiers=("geo:us",),
        passes=(Pass(run), Pass(run, model="claude-opus-5-5")),
    )
    found = cost(
        card("claude-sonnet-5-5"), usage, started_ms=NOON, finished_ms=NOON, lookup=lambda model: card(model)
    )
    assert found == Cost(19_900_000_000, CostBasis.EXACT, card("claude-sonnet-5-5").id)


def test_a_pass_without_a_price_leaves_the_call_unpriced() -> None:
    usage = Usage(10, output_tokens=10, passes=(Pass(Usage(10, output_tokens=10), model="claude-nova-9"),))
    for lookup in (None, lambda model: None):
        found = cost(card("claude-sonnet-5-5"), usage, started_ms=NOON, finished_ms=NOON, lookup=lookup)
        assert found == Cost(None, CostBasis.UNPRICED)


# --- what isn't known


def test_no_card_is_no_price() -> None:
    assert cost(None, Usage(1, output_tokens=1), started_ms=NOON, finished_ms=NOON).picousd is None


def test_an_estimated_usage_makes_an_estimated_cost() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100, basis=UsageBasis.ESTIMATED)
    # 1,000 × 2/M + 100 × 10/M = 0.003.
    assert price("claude-sonnet-5-5", usage) == Cost(
        3_000_000_000, CostBasis.ESTIMATED, card("claude-sonnet-5-5").id
    )


def test_a_call_that_took_nothing_costs_nothing() -> None:
    assert price("claude-sonnet-5-5", NO_USAGE).picousd == 0
    assert cost(None, NO_USAGE, started_ms=NOON, finished_ms=NOON) == Cost(0, CostBasis.EXACT)


@pytest.mark.parametrize("usage", [Usage(input_tokens=5), Usage(output_tokens=5), Usage()])
def test_an_open_count_costs_the_ceiling_or_has_no_price(usage: Usage) -> None:
    sonnet = card("claude-sonnet-5-5")
    assert cost(sonnet, usage, started_ms=NOON, finished_ms=NOON) == Cost(None, CostBasis.UNPRICED, sonnet.id)
    assert cost(sonnet, usage, started_ms=NOON, finished_ms=NOON, ceiling_picousd=77) == Cost(
        77, CostBasis.UPPER_BOUND, sonnet.id
    )


def test_searches_of_a_provider_that_names_no_price_make_an_estimate() -> None:
    usage = Usage(input_tokens=1, output_tokens=0, web_searches=1)
    assert price("deepseek-flash", usage).basis is CostBasis.ESTIMATED


def test_a_card_that_is_an_upper_bound_says_so_in_the_cost() -> None:
    bound = RateCard("litellm", "x", "m", (Tier(0, Prices(1, 1, 1, 1, 1)),), is_upper_bound=True)
    found = cost(bound, Usage(1, output_tokens=1), started_ms=NOON, finished_ms=NOON)
    assert (found.picousd, found.basis) == (2, CostBasis.UPPER_BOUND)


def test_half_a_picodollar_is_rounded_up() -> None:
    odd = RateCard(
        "override", "x", "m", (Tier(0, Prices(1, 1, 1, 1, 1)),), modifiers=(Modifier("tier:batch", 1, 2),)
    )
    usage = Usage(input_tokens=3, output_tokens=0, modifiers=("tier:batch",))
    # 3 × 1 / 2 = 1.5.
    assert cost(odd, usage, started_ms=NOON, finished_ms=NOON).picousd == 2


# --- ceilings


def test_a_ceiling_reckons_with_the_dearest_cache_and_the_accounts_region() -> None:
    # opus-5-5: 1,000 × $8/M + 100 × $20/M = 0.01, × 1.1 = 0.011.
    opus = card("claude-opus-5-5")
    assert ceiling(opus, input_tokens=1_000, output_tokens=100, started_ms=NOON) == 11_000_000_000
    # Without a cache breakpoint: (1,000 × 4/M + 100 × 20/M) × 1.1 = 0.0066; for five minutes 0.007 × 1.1.
    assert (
        ceiling(opus, input_tokens=1_000, output_tokens=100, started_ms=NOON, longest_cache=None)
        == 6_600_000_000
    )
    assert (
        ceiling(opus, input_tokens=1_000, output_tokens=100, started_ms=NOON, longest_cache="5m")
        == 7_700_000_000
    )


def test_a_ceiling_knows_which_tier_the_prompt_can_reach() -> None:
    # 100,000 × $0.20/M × 1.1 = 0.022; 100,001 × $1.00/M × 1.1 = 0.1100011.
    haiku = card("claude-haiku-5-5")
    assert ceiling(haiku, input_tokens=100_000, output_tokens=0, started_ms=NOON) == 22_000_000_000
    assert ceiling(haiku, input_tokens=100_001, output_tokens=0, started_ms=NOON) == 110_001_100_000


def test_a_ceiling_is_off_peak_only_where_no_peak_is_near() -> None:
    flash = card("deepseek-flash")
    # Saturday noon, 1,000,000 × $0.15/M; Wednesday noon the next peak is 13 hours off: $0.30/M.
    saturday = ms("2026-11-28T12:00")
    assert ceiling(flash, input_tokens=10**6, output_tokens=0, started_ms=saturday) == 150_000_000_000
    assert ceiling(flash, input_tokens=10**6, output_tokens=0, started_ms=NOON) == 300_000_000_000


Longest: TypeAlias = Literal["5m", "1h"] | None
LONGEST: tuple[Longest, ...] = ("1h", "5m", None)
ALL_CARDS = [card for cards in CARDS.values() for card in cards]


@st.composite
def calls(draw: st.DrawFn) -> tuple[RateCard, int, int, int, int, Usage, Longest, tuple[str, ...]]:
    of = draw(st.sampled_from(ALL_CARDS))
    most_in = draw(st.integers(0, 400_000))
    most_out = draw(st.integers(0, 200_000))
    start = draw(st.integers(ms("2026-08-17T00:00"), ms("2027-03-01T00:00")))
    length = draw(st.integers(0, 86_400_000))
    longest = draw(st.sampled_from(LONGEST))
    asked = draw(st.sampled_from([(), ("speed:fast",)]))
    in_tokens = draw(st.integers(0, most_in))
    cached = draw(st.integers(0, in_tokens))
    written = 0 if longest is None else draw(st.integers(0, in_tokens - cached))
    for_an_hour = draw(st.integers(0, written)) if longest == "1h" else 0
    usage = Usage(
        in_tokens,
        cached,
        written,
        for_an_hour,
        draw(st.integers(0, most_out)),
        modifiers=tuple(draw(st.sets(st.sampled_from(["geo:us", "tier:batch", "tier:standard", *asked])))),
        web_searches=0,
        basis=draw(st.sampled_from([UsageBasis.PROVIDER, UsageBasis.ESTIMATED])),
    )
    return of, most_in, most_out, start, length, usage, longest, asked


@given(calls())
def test_no_call_within_its_bounds_costs_more_than_its_ceiling(
    call: tuple[RateCard, int, int, int, int, Usage, Longest, tuple[str, ...]],
) -> None:
    of, most_in, most_out, start, length, usage, longest, asked = call
    most = ceiling(
        of,
        input_tokens=most_in,
        output_tokens=most_out,
        started_ms=start,
        longest_cache=longest,
        modifiers=asked,
    )
    found = cost(of, usage, started_ms=start, finished_ms=start + length)
    assert found.picousd is not None
    assert found.picousd <= most


@given(
    st.sampled_from(ALL_CARDS),
    st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)), min_size=1, max_size=4),
)
def test_a_call_of_several_passes_costs_their_sum(of: RateCard, runs: list[tuple[int, int]]) -> None:
    parts = [Usage(input_tokens=i, output_tokens=o) for i, o in runs]
    whole = Usage(
        sum(i for i, _ in runs),
        output_tokens=sum(o for _, o in runs),
        passes=tuple(Pass(part) for part in parts),
    )
    costs = [cost(of, part, started_ms=NOON, finished_ms=NOON).picousd for part in parts]
    together = cost(of, whole, started_ms=NOON, finished_ms=NOON).picousd
    assert together == sum(each for each in costs if each is not None)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_cost_is_whole_picodollars_for_any_modifier_of_any_card(in_tokens: int, out_tokens: int) -> None:
    # Every list price is a multiple of 20 picodollars, so 11/10 and 1/2 leave nothing to round.
    for of in ALL_CARDS:
        for modifier in of.modifiers:
            usage = Usage(in_tokens, output_tokens=out_tokens, modifiers=(modifier.name,))
            plain = cost(of, Usage(in_tokens, output_tokens=out_tokens), started_ms=NOON, finished_ms=NOON)
            changed = cost(of, usage, started_ms=NOON, finished_ms=NOON)
            assert plain.picousd is not None
            assert changed.picousd is not None
            assert changed.picousd * modifier.denominator == plain.picousd * modifier.numerator
