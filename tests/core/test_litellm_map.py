from chatvault.core.litellm_map import read_entry
from chatvault.core.pricing import Prices


def test_an_entry_becomes_picodollars_exactly() -> None:
    # 2.8e-08 USD a token is 28,000 picodollars.
    price = read_entry(
        {
            "input_cost_per_token": 2.8e-07,
            "output_cost_per_token": 4.2e-07,
            "cache_read_input_token_cost": 2.8e-08,
            "cache_creation_input_token_cost": 3.5e-07,
            "cache_creation_input_token_cost_above_1hr": 5.6e-07,
            "search_context_cost_per_query": {
                "search_context_size_low": 0.01,
                "search_context_size_high": 0.02,
            },
        },
        version="1.2.3",
    )
    assert price is not None
    assert price.tiers[0].prices == Prices(280_000, 420_000, 28_000, 350_000, 560_000)
    assert price.web_search_picousd == 20_000_000_000
    assert price.note == "litellm 1.2.3"


def test_what_an_entry_leaves_out_costs_what_input_does() -> None:
    price = read_entry({"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06}, version="1")
    assert price is not None
    assert price.tiers[0].prices == Prices(1_000_000, 2_000_000, 1_000_000, 1_000_000, 1_000_000)


def test_zero_is_unknown_not_free() -> None:
    assert read_entry({"input_cost_per_token": 0, "output_cost_per_token": 0.0}, version="1") is None
    assert read_entry({"input_cost_per_token": 1e-06}, version="1") is None
    assert read_entry({}, version="1") is None


def test_an_entry_that_bills_by_something_else_is_not_understood() -> None:
    entry = {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06, "input_cost_per_query": 0.01}
    assert read_entry(entry, version="1") is None


def test_tiers_rise_in_their_order() -> None:
    price = read_entry(
        {
            "input_cost_per_token": 1e-06,
            "output_cost_per_token": 2e-06,
            "input_cost_per_token_above_200k_tokens": 3e-06,
            "output_cost_per_token_above_200k_tokens": 6e-06,
            "input_cost_per_token_above_100k_tokens": 2e-06,
            "output_cost_per_token_above_100k_tokens": 4e-06,
        },
        version="1",
    )
    assert price is not None
    assert [(tier.above_tokens, tier.prices.input) for tier in price.tiers] == [
        (0, 1_000_000),
        (100_000, 2_000_000),
        (200_000, 3_000_000),
    ]


def test_half_a_tier_is_not_understood() -> None:
    entry = {
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
        "input_cost_per_token_above_200k_tokens": 3e-06,
    }
    assert read_entry(entry, version="1") is None


def test_a_price_with_off_peak_hours_is_an_upper_bound() -> None:
    entry = {"input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "off_peak_pricing": {}}
    price = read_entry(entry, version="1")
    assert price is not None
    assert price.is_upper_bound


def test_a_price_finer_than_a_picodollar_is_rounded_up() -> None:
    price = read_entry({"input_cost_per_token": 1.5e-12, "output_cost_per_token": 1e-06}, version="1")
    assert price is not None
    assert price.tiers[0].prices.input == 2
