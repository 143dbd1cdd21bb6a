"""The provider of kind `deepseek`."""

import asyncio
import json
from typing import Any

import pytest

from chatvault.core.chat import (
    ChatRequest,
    ImagePart,
    Message,
    ResponseFormat,
    TextPart,
    Thinking,
    Tool,
    ToolCall,
)
from chatvault.core.secret import Secret
from chatvault.core.usage import Usage
from chatvault.errors import ConfigError
from chatvault.providers.deepseek import DeepSeek, Settings, build
from tests.support.answers import FakeAnswer, FakeClient
from tests.support.resources import resources
from tests.support.streams import read_to_end

CALL = ToolCall("call_00_abcdefghij", "f", '{"a":1}')
TOOLS = (Tool("f", None, {"type": "object"}),)
TURN = (
    Message("user", "u"),
    Message("assistant", None, tool_calls=(CALL,)),
    Message("tool", (TextPart("4"), TextPart("2")), tool_call_id=CALL.id),
)
PLAIN = b'{"id":"c","model":"deepseek-v4-flash","choices":[{"index":0,'
PLAIN += b'"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],'
PLAIN += b'"usage":{"prompt_tokens":353,"completion_tokens":23,'
PLAIN += b'"prompt_cache_hit_tokens":256,"prompt_cache_miss_tokens":97}}'


def deepseek(*answers: FakeAnswer) -> tuple[DeepSeek, FakeClient]:
    client = FakeClient(list(answers))
    return DeepSeek("deepseek", Settings(api_key=Secret("sk-abcdefghij")), client, now_ms=lambda: 0), client


def sent(messages: tuple[Message, ...] = (Message("user", "u"),), **fields: Any) -> dict[str, Any]:
    provider, client = deepseek(FakeAnswer(PLAIN))
    asyncio.run(provider.complete(ChatRequest("m", messages, **fields), "deepseek-flash"))
    return json.loads(client.asked[0].body)


def test_a_plain_request_says_nothing_that_the_client_did_not():
    assert sent() == {"model": "deepseek-flash", "messages": [{"role": "user", "content": "u"}]}


def test_the_answer_goes_out_as_it_came_with_deepseeks_own_cache_counts():
    provider, client = deepseek(FakeAnswer(PLAIN, headers=[(b"x-ds-trace-id", b"t1")]))
    completion = asyncio.run(provider.complete(ChatRequest("m", (Message("user", "u"),)), "deepseek-flash"))
    assert completion.body == PLAIN
    assert completion.usage == Usage(input_tokens=353, cached_tokens=256, output_tokens=23)
    assert completion.upstream_request_id == "t1"
    assert client.asked[0].path == "/chat/completions"
    assert client.asked[0].headers["authorization"] == "Bearer sk-abcdefghij"


def test_fields_reach_deepseek_in_its_own_names():
    told = sent(
        max_tokens=5, temperature=0.5, top_p=0.9, stop=("a",), logprobs=True, top_k=3, min_p=0.1, tools=TOOLS
    )
    assert told["max_tokens"] == 5
    assert told["stop"] == ["a"]
    assert told["tools"][0]["function"]["name"] == "f"
    assert not {"top_k", "min_p"} & set(told)


@pytest.mark.parametrize(
    ("fields", "thinking", "effort"),
    [
        ({"thinking": Thinking("disabled")}, {"type": "disabled"}, None),
        ({"thinking": Thinking("enabled", 2000)}, {"type": "enabled"}, None),
        ({"reasoning_effort": "none"}, {"type": "disabled"}, None),
        ({"reasoning_effort": "high"}, {"type": "enabled"}, "high"),
    ],
)
def test_thinking_has_a_switch_and_an_effort(fields, thinking, effort):
    told = sent(**fields)
    assert told["thinking"] == thinking
    assert told.get("reasoning_effort") == effort


def test_developers_are_systems_and_lists_of_text_are_text():
    told = sent((Message("developer", (TextPart("a"), TextPart("b"))), *TURN), tools=TOOLS)["messages"]
    assert told[0] == {"role": "system", "content": "ab"}
    assert told[3]["content"] == "42"


def test_pictures_go_along():
    picture = ImagePart("data:image/png;base64,iVBORw0KGgo=")
    told = sent((Message("user", (TextPart("see"), picture)),))["messages"][0]["content"]
    assert told[1] == {"type": "image_url", "image_url": {"url": picture.url}}


def test_a_schema_is_asked_for_in_words():
    told = sent(response_format=ResponseFormat("json_schema", {"type": "object", "title": "T9"}))
    assert told["response_format"] == {"type": "json_object"}
    assert '"title":"T9"' in told["messages"][0]["content"]
    assert sent(response_format=ResponseFormat("json_object"))["response_format"] == {"type": "json_object"}


def test_reasoning_that_the_client_kept_goes_back():
    turn = (TURN[0], Message("assistant", None, tool_calls=(CALL,), reasoning="hm"), TURN[2])
    assert sent(turn, tools=TOOLS)["messages"][1]["reasoning_content"] == "hm"


def test_reasoning_that_nobody_has_any_more_is_a_space():
    told = sent((*TURN, Message("assistant", "so"), Message("user", "v")), tools=TOOLS)["messages"]
    assert told[1]["reasoning_content"] == " "
    assert told[3]["reasoning_content"] == " "
    assert "reasoning_content" not in told[0]


def test_without_thinking_or_tools_no_reasoning_is_made_up():
    told = sent(TURN, tools=TOOLS, thinking=Thinking("disabled"))["messages"]
    assert "reasoning_content" not in told[1]
    chat = sent((Message("user", "u"), Message("assistant", "a"), Message("user", "v")))["messages"]
    assert "reasoning_content" not in chat[1]


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "d"}
    told["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps(told, separators=(",", ":")).encode() + b"\n\n"


CALLED = {"id": CALL.id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
STREAMED = (
    chunk({"role": "assistant", "content": None, "reasoning_content": "hm"})
    + chunk({"reasoning_content": " yes"})
    + chunk({"tool_calls": [{"index": 0, **CALLED, "function": {"name": "f", "arguments": ""}}]})
    + chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]})
    + chunk({"content": ""}, "tool_calls")
    + b"data: [DONE]\n\n"
)
TOLD = {"role": "assistant", "content": "", "reasoning_content": "hm yes", "tool_calls": [CALLED]}
WHOLE = json.dumps({"choices": [{"message": TOLD, "finish_reason": "tool_calls"}]}).encode()


@pytest.mark.parametrize("is_stream", [True, False])
def test_reasoning_that_the_client_dropped_is_handed_back(is_stream):
    first = FakeAnswer(STREAMED) if is_stream else FakeAnswer(WHOLE)
    provider, client = deepseek(first, FakeAnswer(PLAIN))

    async def two_turns() -> None:
        request = ChatRequest("m", TURN[:1], stream=is_stream, tools=TOOLS)
        if is_stream:
            await read_to_end(await provider.stream(request, "deepseek-flash"))
        else:
            await provider.complete(request, "deepseek-flash")
        await provider.complete(ChatRequest("m", TURN, tools=TOOLS), "deepseek-flash")

    asyncio.run(two_turns())
    assert json.loads(client.asked[1].body)["messages"][1]["reasoning_content"] == "hm yes"


def test_a_stream_asks_for_its_usage():
    provider, client = deepseek(FakeAnswer(STREAMED))

    async def read() -> bytes:
        return await read_to_end(
            await provider.stream(ChatRequest("m", TURN[:1], stream=True), "deepseek-flash")
        )

    assert asyncio.run(read()) == STREAMED
    assert json.loads(client.asked[0].body)["stream_options"] == {"include_usage": True}


def test_the_limit_is_the_clients_or_the_models():
    provider, _ = deepseek()
    assert provider.output_limit(ChatRequest("m", (), max_tokens=5), "deepseek-flash") == 5
    assert provider.output_limit(ChatRequest("m", ()), "deepseek-flash") == 393_216
    assert provider.output_limit(ChatRequest("m", ()), "deepseek-x") is None


def test_it_is_not_built_without_a_key():
    with pytest.raises(ConfigError):
        build("deepseek", Settings(), resources())
