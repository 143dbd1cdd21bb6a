"""Tests of the bounds on input tokens."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import (
    ChatRequest,
    ImagePart,
    Json,
    Message,
    ResponseFormat,
    TextPart,
    ThinkingBlock,
    Tool,
    ToolCall,
)
from chatvault.core.estimate import _json_size, input_bound, input_estimate


def ask(*messages: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest("m", messages, tools=tools)


@given(st.text())
def test_the_bound_is_never_below_the_bytes_of_the_text(text: str) -> None:
    assert input_bound(ask(Message("user", text))) >= len(text.encode("utf-8", "surrogatepass"))


@given(st.text())
def test_the_estimate_never_exceeds_the_bound(text: str) -> None:
    request = ask(Message("user", (TextPart(text), ImagePart("data:image/png;base64,AAAA"))))
    assert input_estimate(request) <= input_bound(request)


def test_an_image_counts_by_what_it_is_billed_not_by_its_bytes() -> None:
    request = ask(Message("user", (ImagePart("data:image/png;base64," + "A" * 5_000_000),)))
    assert 5_000 <= input_bound(request, "anthropic") < 10_000
    # Whatever an OpenAI-shaped server may bill: 48,169 tokens are the most that is known.
    assert 48_169 <= input_bound(request, "openai_compatible") < 60_000


def test_what_a_tokenizer_makes_longer_counts_at_its_length() -> None:
    # One ligature is eighteen letters to a tokenizer that normalizes.
    assert input_bound(ask(Message("user", "\ufdfa" * 100))) >= 33 * 100
    for number in range(0x80, sys.maxunicode + 1):
        text = chr(number)
        if not 0xD800 <= number < 0xE000:
            most = max(len(unicodedata.normalize(form, text).encode()) for form in ("NFC", "NFKC"))
            if most > len(text.encode()):
                assert input_bound(ask(Message("user", text * 100))) >= most * 100, hex(number)


_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize("is_ascii", [True, False])
@given(value=_json)
def test_the_bound_of_json_is_never_below_what_it_takes(is_ascii: bool, value: Json) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    assert _json_size(value) >= len(text.encode("utf-8", "surrogatepass"))


def test_names_and_ids_of_any_length_count() -> None:
    long = "x" * 5_000
    plain = input_bound(ask(Message("user", "")))
    requests = [
        ask(Message("tool", "", tool_call_id=long)),
        ask(Message("assistant", "", tool_calls=(ToolCall(long, "f", ""),))),
        ask(Message("assistant", "", thinking_blocks=(ThinkingBlock(text=long),))),
        ask(Message("user", "", name=long)),
        ChatRequest("m", (), response_format=ResponseFormat("json_schema", schema={}, description=long)),
        ChatRequest("m", (), response_format=ResponseFormat("json_schema", schema={}, name=long)),
    ]
    for request in requests:
        assert input_bound(request) >= plain + 4_900


def test_everything_that_is_sent_counts() -> None:
    plain = input_bound(ask(Message("assistant", "")))
    calls = (ToolCall("1", "f", "x" * 500),)
    assert input_bound(ask(Message("assistant", "", tool_calls=calls))) >= plain + 500
    assert input_bound(ask(Message("assistant", "", reasoning="x" * 500))) >= plain + 500
    tool = Tool(
        "f", "d" * 300, parameters={"type": "object", "properties": {"p": {"description": "x" * 200}}}
    )
    assert input_bound(ask(Message("assistant", ""), tools=(tool,))) >= plain + 500
