"""The provider of kind `anthropic`."""

import asyncio
import json

import pytest

from chatvault.core.chat import ChatRequest, Message, Tool, ToolCall
from chatvault.core.secret import Secret
from chatvault.errors import ConfigError, ProviderAuthFailed, ProviderOverloaded
from chatvault.providers.anthropic import Anthropic, Settings, build
from tests.support.answers import FakeAnswer, FakeClient
from tests.support.anthropic_events import end, start, text, thinking, tool
from tests.support.resources import resources
from tests.support.streams import hear, read_to_end

SSE = [(b"content-type", b"text/event-stream"), (b"request-id", b"req_1")]
WHOLE = json.dumps(
    {
        "id": "msg_1",
        "model": "claude-x-1",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
).encode()


def anthropic(*answers: FakeAnswer) -> tuple[Anthropic, FakeClient]:
    client = FakeClient(list(answers))
    settings = Settings(api_key=Secret("sk-ant-abcdefghij"))
    return Anthropic("claude", settings, client, now_ms=lambda: 1_700_000_000_000), client


def test_a_whole_answer():
    provider, client = anthropic(FakeAnswer(WHOLE, headers=[(b"request-id", b"req_1")]))
    completion = asyncio.run(provider.complete(ChatRequest("m", (Message("user", "u"),)), "claude-haiku-5-5"))
    assert json.loads(completion.body)["choices"][0]["message"]["content"] == "hi"
    assert json.loads(completion.body)["created"] == 1_700_000_000
    assert completion.upstream_request_id == "req_1"
    asked = client.asked[0]
    assert (asked.method, asked.path) == ("POST", "/v1/messages")
    assert asked.headers == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "sk-ant-abcdefghij",
    }
    # Anthropic insists on a limit: the model's own stands in for one that nobody named.
    assert json.loads(asked.body)["max_tokens"] == provider.output_limit(
        ChatRequest("m", ()), "claude-haiku-5-5"
    )


def test_a_streamed_answer_whose_thinking_comes_back_with_the_next_turn():
    first = start() + thinking(0, "hm") + tool(1, "toolu_aaaaaaaaaa", "f", "{}") + end("tool_use")
    provider, client = anthropic(
        FakeAnswer(first, headers=SSE), FakeAnswer(start() + text(0, "ok") + end(), headers=SSE)
    )
    tools = (Tool("f"),)
    ask = Message("user", "u")

    async def two_turns() -> None:
        begun = await provider.stream(
            ChatRequest("m", (ask,), stream=True, tools=tools, reasoning_effort="low"), "claude-haiku-4-5"
        )
        said = hear(await read_to_end(begun))
        begun.close()
        assert said.tools[0]["id"] == "toolu_aaaaaaaaaa"
        call = Message("assistant", None, tool_calls=begun_calls(said.tools))
        result = Message("tool", "r", tool_call_id="toolu_aaaaaaaaaa")
        request = ChatRequest("m", (ask, call, result), stream=True, tools=tools, reasoning_effort="low")
        # What is put back is input, and is paid for.
        assert provider.restored(request).messages[1].thinking_blocks[0].text == "hm"
        await read_to_end(await provider.stream(request, "claude-haiku-4-5"))

    asyncio.run(two_turns())
    sent = json.loads(client.asked[1].body)
    assert sent["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert client.asked[0].manual_clock


def begun_calls(tools: dict[int, dict[str, str]]) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(call["id"], call["name"], call["arguments"]) for call in tools.values())


def test_refusals_are_told():
    overloaded = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    provider, _ = anthropic(FakeAnswer(overloaded, status=529), FakeAnswer(b"{}", status=401))
    request = ChatRequest("m", (Message("user", "u"),))
    with pytest.raises(ProviderOverloaded):
        asyncio.run(provider.complete(request, "claude-haiku-5-5"))
    with pytest.raises(ProviderAuthFailed):
        asyncio.run(provider.stream(request, "claude-haiku-5-5"))


def test_the_limit_is_the_clients_the_models_or_a_modest_one():
    provider, _ = anthropic()
    assert provider.output_limit(ChatRequest("m", (), max_tokens=5), "claude-haiku-5-5") == 5
    assert provider.output_limit(ChatRequest("m", ()), "claude-haiku-5-5") == 128_000
    assert provider.output_limit(ChatRequest("m", ()), "claude-nova-9") == 8192


def test_models_are_listed_with_their_limits():
    listed = {
        "data": [{"id": "claude-haiku-4-5-20251001", "created_at": "2025-10-15T00:00:00Z"}, {"id": "new"}]
    }
    provider, client = anthropic(FakeAnswer(json.dumps(listed).encode()))
    found = asyncio.run(provider.models())
    assert [(model.id, model.created) for model in found] == [
        ("claude-haiku-4-5-20251001", 1_760_486_400),
        ("new", None),
    ]
    assert found[0].context_tokens == 200_000
    assert client.asked[0].path == "/v1/models?limit=1000"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (FakeAnswer(b'{"data":[]}'), "pass"),
        (FakeAnswer(b"{}", status=401), "fail"),
        (FakeAnswer(b"<html>", status=404), "warn"),
        (FakeAnswer(b"<html>"), "fail"),
    ],
)
def test_a_check_costs_nothing_and_tells_what_is_wrong(answer, status):
    provider, client = anthropic(answer)
    assert asyncio.run(provider.check()).status == status
    assert client.asked[0].method == "GET"


def test_it_is_not_built_without_a_key():
    with pytest.raises(ConfigError):
        build("claude", Settings(), resources())
