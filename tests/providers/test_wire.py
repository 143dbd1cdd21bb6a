"""What providers send, decoded."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import ProviderFailed
from chatvault.providers.wire import count, decoded, lenient, whole_characters


class Shape(msgspec.Struct):
    """A shape of this test's own."""

    number: int | None = None
    word: str = "-"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"number":1,"word":"a"}', Shape(1, "a")),
        (b'{"number":"1","word":"a"}', Shape(None, "a")),
        (b'{"number":1,"word":[]}', Shape(1)),
        (b'{"number":1e400,"word":"a"}', Shape(None, "a")),
        (b"{}", Shape()),
        (b"null", None),
        (b"[]", None),
        (b"7", None),
    ],
)
def test_what_is_odd_costs_only_itself(raw, expected):
    assert lenient(msgspec.Raw(raw), Shape) == expected


@pytest.mark.parametrize("body", [b"[" * 5000 + b"]" * 5000, b'{"x":' * 5000 + b"1" + b"}" * 5000])
def test_a_body_nested_beyond_measure_is_the_providers_failure(body):
    with pytest.raises(ProviderFailed):
        decoded(msgspec.json.Decoder(Shape).decode, body, provider="up")
    assert lenient(msgspec.Raw(body), Shape) is None


def test_a_body_of_another_shape_is_the_providers_failure():
    with pytest.raises(ProviderFailed) as caught:
        decoded(msgspec.json.Decoder(Shape).decode, b"<html>", provider="up", what="a list", request_id="r")
    assert caught.value.message == "up sent a list that makes no sense"
    assert (caught.value.hint, caught.value.upstream_request_id) == ("check providers.up.base_url", "r")


@given(st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_a_count_is_a_number_that_can_be_written_down(value):
    found = count(value)
    assert found is None or (0 <= found <= 10**8 and found == int(value) and not isinstance(value, bool))
    assert found is not None or isinstance(value, bool | str | None) or not 0 <= value <= 10**8


class Outer(msgspec.Struct):
    """A shape with another one in it."""

    inner: Shape | None = None
    word: str = "-"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"inner":{"number":"1","word":"a"},"word":"b"}', Outer(Shape(None, "a"), "b")),
        (b'{"inner":7,"word":"b"}', Outer(None, "b")),
        (b'{"inner":null,"word":[]}', Outer()),
    ],
)
def test_what_is_odd_inside_costs_only_itself_too(raw, expected):
    assert lenient(msgspec.Raw(raw), Outer) == expected


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00b"', "\ufffdb"),
        (rb'"\ud83d\ude00\ud83d"', "\U0001f600\ufffd"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\\ud83d \n\""', '\\ud83d \n"'),
        (b'"plain"', "plain"),
    ],
)
def test_half_a_character_is_replaced_and_nothing_else(sent, read):
    assert msgspec.json.decode(whole_characters(sent)) == read


@given(st.text())
def test_whole_characters_stay_as_they_are(text):
    for ascii_only in (True, False):
        sent = json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
        assert whole_characters(sent) == sent
