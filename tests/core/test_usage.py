import pytest

from chatvault.core.usage import NO_USAGE, Usage, UsageBasis


@pytest.mark.parametrize(
    "field", ["input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]
)
def test_a_negative_count_is_refused_by_its_name(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Usage(**{field: -1})


def test_unknown_is_not_zero() -> None:
    assert Usage().input_tokens is None
    assert Usage(input_tokens=0) != Usage()


def test_no_usage_says_that_there_is_none() -> None:
    assert NO_USAGE.basis is UsageBasis.NONE
    assert NO_USAGE.output_tokens is None
