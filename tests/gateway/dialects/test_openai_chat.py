"""Tests of the allow-list of OpenAI's chat requests."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import ImagePart, NamedTool, TextPart, Thinking, ToolCall
from chatvault.errors import RequestError
from chatvault.gateway.dialects.openai_chat import Parsed, parse

HELLO = [{"role": "user", "content": "hello"}]


def ask(**fields: Any) -> Parsed:
    return parse(json.dumps({"model": "m", "messages": HELLO, **fields}).encode())


def refusal(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as refused:
        ask(**fields)
    assert refused.value.status == 400
    return refused.value


def test_a_plain_request_is_taken_as_it_is() -> None:
    request = ask(stream=True, temperature=0.5, max_tokens=7, stop="x", seed=3).request
    assert (request.model, request.messages[0].content) == ("m", "hello")
    assert (request.stream, request.temperature, request.max_tokens) == (True, 0.5, 7)
    assert (request.stop, request.seed, request.include_usage) == (("x",), 3, False)


def test_unknown_fields_are_dropped_and_named() -> None:
    parsed = ask(web_search_options={}, stream_options={"include_usage": True, "new": 1}, wait=True)
    assert parsed.dropped == ("web_search_options", "stream_options.new", "wait")
    assert parsed.request.include_usage


def test_a_dropped_name_can_not_break_a_header() -> None:
    assert ask(**{"a\r\nset-cookie: x": 1}).dropped == ("a??set-cookie??x",)


def test_what_concerns_the_clients_own_users_stays_here_unnamed() -> None:
    assert ask(user="u", metadata={"a": "b"}, store=False).dropped == ()


def test_null_means_that_nothing_was_said() -> None:
    request = ask(temperature=None, tools=None, stop=None, stream=None).request
    assert (request.temperature, request.tools, request.stop, request.stream) == (None, (), (), False)


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "auto"},
        {"tools": None, "tool_choice": "none", "parallel_tool_calls": True},
        {"tool_choice": "", "reasoning_effort": "", "response_format": {}},
        {"functions": [], "function_call": "none"},
        {"function_call": "auto"},
        {"logprobs": False, "top_logprobs": 0, "logit_bias": None},
        {"stop": [None, ""], "n": 1, "seed": None},
        {"max_tokens": -1, "max_completion_tokens": -1, "top_k": -1},
        {"messages": [{"role": "user", "content": "hello", "name": ""}]},
        {"messages": [{"role": "user", "content": "hello", "name": None, "tool_calls": None}]},
    ],
)
def test_what_clients_send_to_say_nothing_says_nothing(fields: dict[str, Any]) -> None:
    logprobs = {"logprobs": False} if "logprobs" in fields else {}
    assert ask(**fields) == ask(**logprobs)


def test_an_empty_detail_of_an_image_is_none() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": ""}}
    assert ask(messages=[{"role": "user", "content": [part]}]).request.messages[0].content == (
        ImagePart("data:image/png;base64,AA=="),
    )


def test_a_refusal_that_is_handed_back_is_what_was_said() -> None:
    said = {"role": "assistant", "content": None, "refusal": "I won't.", "tool_calls": None}
    assert ask(messages=[*HELLO, said]).request.messages[1].content == "I won't."


def test_the_old_form_of_tools_is_refused_with_the_new_one() -> None:
    called = {"name": "f", "arguments": "{}"}
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": None, "function_call": called}]
    assert "send 'tool_calls'" in str(refusal(messages=messages))
    messages[0]["tool_calls"] = [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]
    assert ask(messages=messages).request.messages[0].tool_calls == (ToolCall("c1", "f", "{}"),)
    assert "role tool" in str(refusal(messages=[{"role": "function", "name": "f", "content": "1"}]))
    assert "send 'tools'" in str(refusal(functions=[{"name": "f"}]))


def test_no_limit_is_told_how_it_is_said() -> None:
    assert "leave it out" in str(refusal(max_completion_tokens=0))


def test_the_new_name_of_max_tokens_wins() -> None:
    assert ask(max_tokens=5, max_completion_tokens=9).request.max_tokens == 9
    assert ask(max_completion_tokens=9, max_tokens=5).request.max_tokens == 9


def test_parts_images_tools_and_results_are_taken() -> None:
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    request = ask(messages=messages).request
    first, second, third = request.messages
    assert first.content == (TextPart("look", "1h"), ImagePart("data:image/png;base64,AA==", "low"))
    assert second.tool_calls == (ToolCall("c1", "f", "{}"),)
    assert (second.reasoning, third.tool_call_id, third.content) == ("hm", "c1", "42")


def test_arguments_that_come_as_an_object_are_written_out() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}
    request = ask(messages=[*HELLO, {"role": "assistant", "tool_calls": [call]}]).request
    assert json.loads(request.messages[1].tool_calls[0].arguments) == {"a": 1}


def test_a_tool_choice_may_name_a_function() -> None:
    named = {"type": "function", "function": {"name": "f"}}
    assert ask(tools=[named], tool_choice=named).request.tool_choice == NamedTool("f")


def test_thinking_is_taken_in_a_providers_own_words() -> None:
    assert ask(thinking={"type": "enabled", "budget_tokens": 99}).request.thinking == Thinking("enabled", 99)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 3),
        ("temperature", "hot"),
        ("temperature", True),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("n", 2),
        ("stream", "yes"),
        ("stop", ["x"] * 17),
        ("messages", []),
        ("messages", "hello"),
        ("messages", [{"role": "robot", "content": "x"}]),
        ("messages", [{"role": ["user"], "content": "x"}]),
        ("messages", [{"role": {}, "content": "x"}]),
        ("messages", [{"role": "user"}]),
        ("messages", [{"role": "tool", "content": "x"}]),
        ("messages", [{"role": "user", "content": [{"type": "input_audio"}]}]),
        (
            "messages",
            [{"role": "user", "content": [{"type": "image_url", "image_url": "file:///etc/passwd"}]}],
        ),
        ("model", ""),
        ("model", 7),
        ("tools", [{"type": "web_search"}]),
        ("tool_choice", "maybe"),
        ("response_format", {"type": "xml"}),
        ("reasoning_effort", "huge"),
        ("logit_bias", {"1": 200}),
        ("max_tokens", -2),
        ("top_k", -2),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("functions", [{"name": "f"}]),
        ("messages", [{"role": "function", "name": "f", "content": "1"}]),
        ("messages", [{"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}]),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_is_named(field: str, value: object) -> None:
    error = refusal(**{field: value})
    assert error.param is not None
    assert error.param.startswith(field)


def test_what_is_missing_is_named() -> None:
    for raw, param in ((b'{"messages":[]}', "messages"), (b'{"model":"m"}', "messages")):
        with pytest.raises(RequestError) as refused:
            parse(raw)
        assert refused.value.param == param


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"nul", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 10_000])
def test_what_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        parse(raw)
    assert refused.value.code == "invalid_json"


def test_a_byte_order_mark_is_passed_over() -> None:
    raw = json.dumps({"model": "m", "messages": HELLO}).encode()
    assert parse(b"\xef\xbb\xbf" + raw) == parse(raw)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_body_is_called_so(compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(RequestError) as refused:
        parse(compress(b'{"model": "m"}'))
    assert "compressed" in str(refused.value)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(RequestError):
        parse(b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FIELDS = (
    "model",
    "messages",
    "stream",
    "stream_options",
    "stop",
    "tools",
    "tool_choice",
    "response_format",
    "thinking",
    "temperature",
    "max_tokens",
    "n",
    "logit_bias",
    "seed",
    "x",
)
names = st.sampled_from(FIELDS)


@given(st.dictionaries(names, json_values))
def test_any_json_is_taken_or_refused_and_nothing_else(body: dict[str, Any]) -> None:
    try:
        parsed = parse(json.dumps({"model": "m", "messages": HELLO, **body}).encode())
    except RequestError as refused:
        assert refused.status == 400
    else:
        assert parsed.request.messages


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant"])}, optional={"content": json_values}
        )
    )
)
def test_any_message_is_taken_or_refused_and_nothing_else(messages: list[dict[str, Any]]) -> None:
    try:
        ask(messages=messages)
    except RequestError as refused:
        assert refused.status == 400


@given(st.binary())
def test_any_bytes_are_taken_or_refused(raw: bytes) -> None:
    with pytest.raises(RequestError):
        parse(raw)
