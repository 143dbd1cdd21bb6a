from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.metering import Meter
from chatvault.core.usage import Usage, UsageBasis


def test_the_providers_counts_are_taken_as_they_are() -> None:
    meter = Meter()
    meter.usage = Usage(input_tokens=10, output_tokens=3)
    meter.deltas, meter.output_bytes = 99, 9_999
    assert meter.final_usage(input_estimate=500) == Usage(input_tokens=10, output_tokens=3)


def test_without_counts_the_text_is_estimated_from_its_length() -> None:
    meter = Meter()
    meter.deltas, meter.output_bytes = 2, 41
    # 41 characters at four a token are 10.25: eleven.
    expected = Usage(input_tokens=500, output_tokens=11, basis=UsageBasis.ESTIMATED)
    assert meter.final_usage(input_estimate=500) == expected


def test_many_small_deltas_count_one_token_each() -> None:
    meter = Meter()
    meter.deltas, meter.output_bytes = 30, 41
    assert meter.final_usage(input_estimate=0).output_tokens == 30


def test_what_the_provider_said_before_it_broke_off_is_kept() -> None:
    # Anthropic's message_start tells the prompt's counts; the output's come last.
    meter = Meter()
    meter.usage = Usage(
        50, 20, 10, 5, output_tokens=None, web_searches=1, modifiers=("geo:us",), reasoning_tokens=None
    )
    meter.output_bytes = 8
    found = meter.final_usage(input_estimate=999)
    assert found == Usage(
        50, 20, 10, 5, 2, None, web_searches=1, modifiers=("geo:us",), basis=UsageBasis.ESTIMATED
    )


def test_nothing_seen_is_nothing_out() -> None:
    assert Meter().final_usage(input_estimate=7) == Usage(
        input_tokens=7, output_tokens=0, basis=UsageBasis.ESTIMATED
    )


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_estimate_is_never_below_the_deltas_nor_a_quarter_of_the_text(deltas: int, chars: int) -> None:
    meter = Meter()
    meter.deltas, meter.output_bytes = deltas, chars
    out = meter.final_usage(input_estimate=0).output_tokens
    assert out is not None
    assert out >= deltas
    assert out * 4 >= chars


def test_the_side_that_was_counted_is_kept_and_the_other_is_estimated() -> None:
    meter = Meter()
    meter.usage = Usage(output_tokens=3)
    assert meter.final_usage(input_estimate=7) is meter.usage, (
        "nothing was said of the input: it stays unknown"
    )
    meter.usage = Usage(output_tokens=3, basis=UsageBasis.ESTIMATED)
    meter.deltas = 50
    assert meter.final_usage(input_estimate=7) == Usage(7, output_tokens=3, basis=UsageBasis.ESTIMATED)


def test_no_tokens_out_are_believed_only_where_there_is_no_text() -> None:
    meter = Meter()
    meter.usage = Usage(input_tokens=10, output_tokens=0)
    assert meter.final_usage(input_estimate=7) is meter.usage
    meter.output_bytes = 9
    assert meter.final_usage(input_estimate=7) == Usage(10, output_tokens=3, basis=UsageBasis.ESTIMATED)
