"""A chat request in Ollama's words."""

import base64
import json
from typing import Any

import pytest

from chatvault.core.chat import (
    ChatRequest,
    ImagePart,
    Message,
    NamedTool,
    ResponseFormat,
    TextPart,
    Thinking,
    Tool,
    ToolCall,
)
from chatvault.errors import RequestError
from chatvault.providers.ollama_wire import encode

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
WEBP = base64.b64encode(b"RIFF\x24\0\0\0WEBPVP8 " + bytes(20)).decode()
GIF = base64.b64encode(b"GIF89a" + bytes(20)).decode()
TOOLS = (
    Tool("weather", description="Tell it", parameters={"type": "object", "properties": {"city": {}}}),
    Tool("clock"),
)


def body_of(*messages: Message, **fields: Any) -> dict[str, Any]:
    told = messages or (Message("user", "hi"),)
    request = ChatRequest(model="alias", messages=told, **fields)
    whole: dict[str, Any] = json.loads(encode(request, "llama3", stream=True, keep_alive=None, num_ctx=None))
    return whole


def test_a_plain_request_sends_no_default_and_lets_nothing_be_cut() -> None:
    assert body_of() == {
        "model": "llama3",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "truncate": False,
        "shift": False,
    }


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"max_tokens": 4}, {"num_predict": 4}),
        ({"temperature": 0.0}, {"temperature": 0.0}),
        ({"top_p": 0.5, "top_k": 3, "min_p": 0.1}, {"top_p": 0.5, "top_k": 3, "min_p": 0.1}),
        ({"seed": 0}, {"seed": 0}),
        ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
        (
            {"frequency_penalty": 0.2, "presence_penalty": -1.0},
            {"frequency_penalty": 0.2, "presence_penalty": -1.0},
        ),
    ],
)
def test_sampling_fields_become_options(fields: dict[str, Any], options: dict[str, Any]) -> None:
    assert body_of(**fields)["options"] == options


@pytest.mark.parametrize(
    ("keep_alive", "told"), [("30m", "30m"), ("-1", -1), ("0", 0), ("1h30m", "1h30m"), ("300", 300)]
)
def test_settings_are_passed_on(keep_alive: str, told: int | str) -> None:
    request = ChatRequest(model="m", messages=(Message("user", "hi"),))
    body = json.loads(encode(request, "m", stream=False, keep_alive=keep_alive, num_ctx=8192))
    assert (body["keep_alive"], body["options"], body["stream"]) == (told, {"num_ctx": 8192}, False)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), "json"),
        (ResponseFormat("json_schema", schema={"type": "object"}), {"type": "object"}),
        (ResponseFormat("json_schema"), "json"),
    ],
)
def test_a_response_format_becomes_a_format(asked: ResponseFormat, told: Any) -> None:
    assert body_of(response_format=asked).get("format") == told


@pytest.mark.parametrize(
    ("fields", "think"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "xhigh"}, "high"),
        ({"reasoning_effort": "a new word"}, True),
        ({"thinking": Thinking("enabled", 1000)}, True),
        ({"thinking": Thinking("disabled")}, False),
        ({"thinking": Thinking("adaptive")}, None),
        ({"thinking": Thinking("disabled"), "reasoning_effort": "high"}, False),
        ({"thinking": Thinking("enabled"), "reasoning_effort": "low"}, "low"),
    ],
)
def test_reasoning_becomes_think(fields: dict[str, Any], think: Any) -> None:
    body = body_of(**fields)
    assert body.get("think") == think
    assert ("think" in body) == (think is not None)


def test_logprobs_are_asked_for() -> None:
    body = body_of(logprobs=True, top_logprobs=2)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert "logprobs" not in body_of(logprobs=False)


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP])
def test_images_travel_beside_the_text(data: str) -> None:
    parts = (TextPart("What "), ImagePart(f"data:image/x;base64,{data}"), TextPart("is this?"))
    assert body_of(Message("user", parts))["messages"] == [
        {"role": "user", "content": "What is this?", "images": [data]}
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.org/cat.png", "fetches no remote image"),
        ("file:///etc/passwd", "fetches no remote image"),
        ("data:image/png,%89PNG", "must be base64"),
        ("data:image/png;base64", "must be base64"),
        ("data:image/png;base64,!!!!!!!!", "doesn't hold base64"),
        ("data:image/png;base64,ü", "doesn't hold base64"),
        (f"data:image/png;base64,{GIF}", "PNG, JPEG or WebP"),
        ("data:image/png;base64,", "PNG, JPEG or WebP"),
    ],
)
def test_what_is_no_image_of_its_own_is_refused(url: str, words: str) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        body_of(Message("system", "look"), Message("user", (ImagePart(url),)))
    assert (caught.value.status, caught.value.param) == (400, "messages[1].content")


def test_the_developer_is_the_system() -> None:
    assert body_of(Message("developer", "be brief"))["messages"][0]["role"] == "system"


def test_tool_calls_and_their_results_go_back_with_names_and_objects() -> None:
    calls = (
        ToolCall("c1", "weather", '{"city":"Ulm","n":12345678901234567890}'),
        ToolCall("c2", "clock", ""),
    )
    body = body_of(
        Message("user", "?"),
        Message("assistant", None, tool_calls=calls, reasoning="Let me see."),
        Message("tool", "rain", tool_call_id="c1"),
        Message("tool", "noon", tool_call_id="c2"),
        Message("tool", "lost", tool_call_id="c3"),
    )
    assert body["messages"][1] == {
        "role": "assistant",
        "content": "",
        "thinking": "Let me see.",
        "tool_calls": [
            {
                "id": "c1",
                "function": {
                    "index": 0,
                    "name": "weather",
                    "arguments": {"city": "Ulm", "n": 12345678901234567890},
                },
            },
            {"id": "c2", "function": {"index": 1, "name": "clock", "arguments": {}}},
        ],
    }
    assert [message.get("tool_name") for message in body["messages"][2:]] == ["weather", "clock", None]


@pytest.mark.parametrize(
    "arguments", ["[1]", "{", '"text"', "null", "{} {}", '{"a":' * 5000 + "1" + "}" * 5000]
)
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    with pytest.raises(RequestError) as caught:
        body_of(Message("assistant", None, tool_calls=(ToolCall("c", "f", arguments),)))
    assert caught.value.param == "messages[0].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        (None, ["weather", "clock"]),
        ("auto", ["weather", "clock"]),
        ("required", ["weather", "clock"]),
        ("none", None),
        (NamedTool("clock"), ["clock"]),
    ],
)
def test_a_tool_choice_decides_which_tools_are_told(choice: Any, names: list[str] | None) -> None:
    tools = body_of(tools=TOOLS, tool_choice=choice).get("tools")
    assert (tools and [tool["function"]["name"] for tool in tools]) == names


def test_a_tool_is_told_whole() -> None:
    assert body_of(tools=TOOLS)["tools"][1] == {
        "type": "function",
        "function": {"name": "clock", "description": "", "parameters": {"type": "object", "properties": {}}},
    }
