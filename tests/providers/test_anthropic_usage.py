"""Anthropic's usage, counted once."""

import msgspec
import pytest

from chatvault.core.usage import Pass, Usage
from chatvault.providers.anthropic_usage import WireUsage, merged, usage_of


def wire(**told: object) -> WireUsage:
    return msgspec.convert(told, WireUsage)


def test_input_includes_what_the_cache_took_and_gave():
    told = wire(
        input_tokens=3, cache_creation_input_tokens=37, cache_read_input_tokens=17269, output_tokens=10
    )
    assert usage_of(told, model="m") == Usage(
        input_tokens=17309, cached_tokens=17269, cache_write_tokens=37, output_tokens=10
    )


def test_unknown_cache_counts_stay_unknown():
    assert usage_of(wire(input_tokens=27, output_tokens=15), model="m") == Usage(
        input_tokens=27, output_tokens=15
    )


@pytest.mark.parametrize(
    ("total", "five", "hour", "known"),
    [
        (2056, 0, 2056, 2056),
        (7351, 7351, 0, 0),
        (30, 10, 20, 20),
        (17269, 0, 0, None),
        (184457, 31490, 0, None),
    ],
)
def test_a_split_counts_only_where_it_sums_up(total, five, hour, known):
    split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    told = wire(input_tokens=1, cache_creation_input_tokens=total, cache_creation=split, output_tokens=1)
    assert usage_of(told, model="m").cache_write_tokens == total
    assert usage_of(told, model="m").cache_write_1h_tokens == known


def test_the_last_value_of_each_field_holds():
    start = wire(
        input_tokens=2247,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=5,
        cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        output_tokens=1,
        service_tier="standard",
    )
    end = wire(
        input_tokens=2254,
        cache_creation_input_tokens=17269,
        output_tokens=110,
        server_tool_use={"web_search_requests": 1},
    )
    assert usage_of(merged(start, end), model="m") == Usage(
        input_tokens=2254 + 17269 + 5,
        cached_tokens=5,
        cache_write_tokens=17269,
        output_tokens=110,
        web_searches=1,
    )


def test_before_the_end_the_output_is_not_known():
    told = wire(input_tokens=50, output_tokens=5, cache_read_input_tokens=2)
    assert usage_of(told, model="m", is_final=False) == Usage(input_tokens=52, cached_tokens=2)


def test_thinking_is_part_of_the_output():
    told = wire(input_tokens=44, output_tokens=626, output_tokens_details={"thinking_tokens": 170})
    assert usage_of(told, model="m").reasoning_tokens == 170


def test_price_modifiers_are_named_and_ordinary_words_are_not():
    told = wire(input_tokens=1, output_tokens=1, speed="fast", inference_geo="us", service_tier="batch")
    assert usage_of(told, model="m").modifiers == ("speed:fast", "geo:us", "tier:batch")
    plain = wire(
        input_tokens=1,
        output_tokens=1,
        speed="standard",
        inference_geo="not_available",
        service_tier="standard",
    )
    assert usage_of(plain, model="m").modifiers == ()


def test_a_compaction_is_billed_beside_the_answer():
    runs = [
        {"type": "compaction", "input_tokens": 99195, "output_tokens": 81, "cache_read_input_tokens": 0},
        {"type": "message", "input_tokens": 162, "output_tokens": 11, "cache_read_input_tokens": 0},
    ]
    told = wire(input_tokens=162, output_tokens=11, cache_read_input_tokens=0, iterations=runs)
    assert usage_of(told, model="m") == Usage(
        input_tokens=99357,
        cached_tokens=0,
        output_tokens=92,
        passes=(
            Pass(Usage(input_tokens=99195, cached_tokens=0, output_tokens=81)),
            Pass(Usage(input_tokens=162, cached_tokens=0, output_tokens=11)),
        ),
    )


def test_an_advisor_keeps_its_own_model():
    runs = [
        {"type": "message", "model": "m", "input_tokens": 10, "output_tokens": 1},
        {"type": "advisor_message", "model": "adv", "input_tokens": 20, "output_tokens": 2},
    ]
    usage = usage_of(wire(input_tokens=10, output_tokens=1, iterations=runs), model="m")
    assert [run.model for run in usage.passes] == [None, "adv"]
    assert (usage.input_tokens, usage.output_tokens) == (30, 3)


def test_a_single_run_is_the_call_itself():
    runs = [{"type": "message", "input_tokens": 10, "output_tokens": 1}]
    assert usage_of(wire(input_tokens=10, output_tokens=1, iterations=runs), model="m").passes == ()


@pytest.mark.parametrize("field", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
@pytest.mark.parametrize("value", [-1, 2**53 + 1, 2**62])
def test_a_count_that_can_be_none_makes_the_input_unknown(field, value):
    usage = usage_of(wire(**{"input_tokens": 3, "output_tokens": 10, field: value}), model="m")
    assert (usage.input_tokens, usage.output_tokens) == (None, 10)
    assert usage.is_to_be_estimated


def test_odd_counts_of_searches_and_splits_are_none():
    told = wire(
        input_tokens=3,
        output_tokens=2**60,
        cache_creation={"ephemeral_1h_input_tokens": -4},
        server_tool_use={"web_search_requests": 2**60},
    )
    assert usage_of(told, model="m") == Usage(input_tokens=3)


def test_a_zero_at_the_end_does_not_unsay_what_the_start_told():
    split = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}
    start = wire(
        input_tokens=12,
        output_tokens=1,
        cache_read_input_tokens=100,
        cache_creation_input_tokens=50,
        cache_creation=split,
        server_tool_use={"web_search_requests": 2},
    )
    end = wire(
        input_tokens=0,
        output_tokens=7,
        cache_read_input_tokens=0,
        cache_creation_input_tokens=0,
        cache_creation=dict.fromkeys(split, 0),
        server_tool_use={"web_search_requests": 0},
    )
    assert usage_of(merged(start, end), model="m") == Usage(
        input_tokens=162,
        cached_tokens=100,
        cache_write_tokens=50,
        cache_write_1h_tokens=30,
        output_tokens=7,
        web_searches=2,
    )


def test_an_end_without_output_says_zero_where_it_says_so():
    told = merged(wire(input_tokens=12, output_tokens=1), wire(output_tokens=0))
    assert usage_of(told, model="m").output_tokens == 0


def test_a_split_without_its_total_is_summed_up():
    split = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}
    told = usage_of(wire(input_tokens=12, output_tokens=7, cache_creation=split), model="m")
    assert (told.input_tokens, told.cache_write_tokens, told.cache_write_1h_tokens) == (62, 50, 30)


def test_a_prompt_of_no_tokens_was_not_counted():
    assert usage_of(wire(input_tokens=0, output_tokens=7), model="m").is_to_be_estimated
    cached = usage_of(wire(input_tokens=0, output_tokens=7, cache_read_input_tokens=5), model="m")
    assert (cached.input_tokens, cached.is_to_be_estimated) == (5, False)
