"""Tests of the names no request may hold."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import RequestError
from chatvault.gateway.dialects.forbidden import _ORDINARY, is_forbidden, refuse_forbidden_names
from chatvault.gateway.dialects.openai_chat import parse

NAMES = [
    "api_base",
    "base_url",
    "api_key",
    "api_version",
    "extra_headers",
    "extra_body",
    "headers",
    "custom_llm_provider",
    "user_config",
    "fallbacks",
    "mock_response",
    "litellm_params",
    "API_BASE",
]


def check(body: dict[str, object]) -> None:
    refuse_forbidden_names(body)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "place",
    [
        lambda name: {name: 1},
        lambda name: {"metadata": {name: 1}},
        lambda name: {"messages": [{"role": "user", "content": [{"type": "text", name: 1}]}]},
        lambda name: {"a": [[{"b": {name: None}}]]},
        lambda name: {"tools": [{"function": {name: 1}}]},
    ],
)
def test_a_forbidden_name_is_refused_at_any_depth(name: str, place: object) -> None:
    with pytest.raises(RequestError) as refused:
        check(place(name))  # type: ignore[operator]
    assert refused.value.status == 400
    assert name in refused.value.message


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_an_argument_and_a_text_may_hold_any_name(name: str) -> None:
    check({"tools": [{"function": {"parameters": {"properties": {name: {"type": "string"}}}}}]})
    check({"response_format": {"json_schema": {"schema": {"properties": {name: {}}}}}})
    check({"messages": [{"tool_calls": [{"function": {"arguments": {name: 1}}}]}]})
    check({"messages": [{"role": "user", "content": f'use "{name}": 1'}]})


def test_a_name_hidden_by_an_escape_is_found() -> None:
    raw = b'{"model": "m", "messages": [{"role": "user", "content": "x", "\\u0061pi_base": "http://evil"}]}'
    with pytest.raises(RequestError) as refused:
        parse(raw)
    assert refused.value.code == "forbidden_field"


@given(st.recursive(st.none(), lambda inner: st.dictionaries(st.sampled_from(["a", "api_base"]), inner)))
def test_nothing_hides_it(body: object) -> None:
    if not isinstance(body, dict):
        return
    holds_it = "api_base" in json.dumps(body)
    if holds_it:
        with pytest.raises(RequestError):
            check(body)
    else:
        check(body)


def test_ordinary_names_are_not_forbidden() -> None:
    assert not any(is_forbidden(name) for name in (*_ORDINARY, "header", "timeout"))
