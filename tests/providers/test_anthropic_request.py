"""Requests as Anthropic gets them: expectations are written from its API's reference."""

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
    ThinkingBlock,
    Tool,
    ToolCall,
)
from chatvault.errors import RequestError
from chatvault.providers import litellm_door
from chatvault.providers.anthropic_request import mend, translate
from chatvault.providers.reasoning_memory import ReasoningMemory, Thoughts

HI = (Message("user", "hi"),)
PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = {**SCHEMA, "additionalProperties": False}
WEATHER = Tool("weather", "tells it", SCHEMA)


def request_for(
    messages: tuple[Message, ...] = HI,
    *,
    model: str = "claude-haiku-4-5",
    max_tokens: int = 4096,
    memory: ReasoningMemory | None = None,
    stream: bool = False,
    **fields: Any,
) -> litellm_door.AnthropicRequest:
    request = ChatRequest("m", messages, **fields)
    litellm = litellm_door.begin().result()
    told, options = translate(
        request, memory or ReasoningMemory(lambda: 0), max_tokens=max_tokens, stream=stream
    )
    translated = litellm.anthropic_request(model, told, options)
    mend(translated.body, request)
    return translated


def body(*args: Any, **fields: Any) -> dict[str, Any]:
    return json.loads(json.dumps(request_for(*args, **fields).body))


def says(role: str, *texts: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def test_a_plain_request():
    assert body() == {"model": "claude-haiku-4-5", "messages": [says("user", "hi")], "max_tokens": 4096}
    assert body(stream=True)["stream"] is True


def test_instructions_stand_apart_with_their_cache_marks():
    messages = (
        Message("system", "s"),
        Message("developer", (TextPart("d", "1h"),)),
        Message("user", (TextPart("u", "5m"), TextPart("v"))),
    )
    told = body(messages)
    assert told["system"] == [
        {"type": "text", "text": "s"},
        {"type": "text", "text": "d", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert told["messages"][0]["content"] == [
        {"type": "text", "text": "u", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "v"},
    ]


def test_a_mark_on_a_whole_message_counts():
    told = body((Message("user", "u", cache="1h"),))
    assert told["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_instructions_alone_are_said_by_the_user():
    assert body((Message("system", "s"), Message("system", "t")))["messages"] == [says("user", "t")]


def test_what_says_nothing_is_left_out_and_no_words_stand_in_for_it():
    image = ImagePart(PNG)
    for text in ("", " \n"):
        told = body((Message("user", (TextPart(text), image, TextPart("see"))),))["messages"]
        assert [part["type"] for part in told[0]["content"]] == ["image", "text"]
        for nothing in (text, (TextPart(text),), ()):
            asked = (
                *HI,
                Message("assistant", nothing),
                Message("user", "go on"),
                Message("assistant", nothing),
            )
            assert body(asked)["messages"] == [says("user", "hi", "go on")]
            assert body((*HI, Message("user", nothing)))["messages"] == [says("user", "hi")]
            told = body((Message("system", "Be brief."), Message("user", nothing)))
            assert told["messages"] == [says("user", "Be brief.")]
            with pytest.raises(RequestError):
                body((Message("user", nothing),))


def test_calls_and_results_without_a_word_stay():
    call = ToolCall("c1", "weather", "{}")
    for nothing in (None, "", " ", (TextPart(""),)):
        asked = (
            *HI,
            Message("assistant", nothing, tool_calls=(call,)),
            Message("tool", (TextPart(""),), tool_call_id="c1"),
        )
        _, called, answered = body(asked, tools=(WEATHER,))["messages"]
        assert [block["type"] for block in called["content"]] == ["tool_use"]
        assert [block["type"] for block in answered["content"]] == ["tool_result"]
        assert not answered["content"][0].get("content")


def test_images_go_along_and_remote_ones_are_left_to_anthropic():
    told = body((Message("user", (ImagePart(PNG), ImagePart("https://e.example/a.png"))),))
    assert told["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
        {"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}},
    ]


@pytest.mark.parametrize("url", ["http://e.example/a.png", "file:///etc/passwd", "HTTP://127.0.0.1/a"])
def test_other_addresses_are_refused(url):
    with pytest.raises(RequestError) as caught:
        body((Message("user", (ImagePart(url),)),))
    assert caught.value.status == 400


CALLS = (ToolCall("toolu_aaaaaaaaaa", "weather", '{"a":"x"}'), ToolCall("toolu_bbbbbbbbbb", "time", ""))
ANSWERS = (
    Message("tool", "sunny", tool_call_id="toolu_aaaaaaaaaa"),
    Message("tool", (TextPart("noon"),), tool_call_id="toolu_bbbbbbbbbb"),
)
TURN = (Message("user", "u"), Message("assistant", None, tool_calls=CALLS), *ANSWERS)
TOOLS = (WEATHER, Tool("time", cache="5m"))


def test_parallel_tool_results_are_one_turn_of_the_user():
    told = body(TURN, tools=TOOLS)
    assert told["messages"][1]["content"] == [
        {"type": "tool_use", "id": "toolu_aaaaaaaaaa", "name": "weather", "input": {"a": "x"}},
        {"type": "tool_use", "id": "toolu_bbbbbbbbbb", "name": "time", "input": {}},
    ]
    assert told["messages"][2]["role"] == "user"
    assert [part["tool_use_id"] for part in told["messages"][2]["content"]] == [call.id for call in CALLS]
    assert len(told["messages"]) == 3


def test_tools_have_anthropics_shape():
    assert body(tools=TOOLS)["tools"] == [
        {"type": "custom", "name": "weather", "description": "tells it", "input_schema": SCHEMA},
        {
            "type": "custom",
            "name": "time",
            "input_schema": {"type": "object", "properties": {}},
            "cache_control": {"type": "ephemeral"},
        },
    ]


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        (NamedTool("time"), {"type": "tool", "name": "time"}),
    ],
)
def test_tool_choices_have_anthropics_names(choice, told):
    assert body(tools=TOOLS, tool_choice=choice)["tool_choice"] == told


def test_one_call_at_a_time_can_be_asked_for():
    told = body(tools=TOOLS, parallel_tool_calls=False)["tool_choice"]
    assert told == {"type": "auto", "disable_parallel_tool_use": True}


def test_tool_names_that_anthropic_refuses_are_changed_and_known():
    translated = request_for(tools=(Tool("get.weather", None, SCHEMA),))
    assert translated.body["tools"][0]["name"] == "get_weather"
    assert translated.tool_names == {"get_weather": "get.weather"}


def test_a_schema_is_asked_for_in_anthropics_own_way_where_the_model_has_it():
    wanted = ResponseFormat("json_schema", CLOSED, "answer")
    translated = request_for(model="claude-sonnet-5-5", response_format=wanted)
    assert translated.body["output_format"] == {"type": "json_schema", "schema": CLOSED}
    assert "structured-outputs" in translated.headers["anthropic-beta"]
    assert translated.json_tool is None


def test_a_schema_is_a_forced_tool_where_the_model_has_not():
    wanted = ResponseFormat("json_schema", CLOSED, "answer")
    translated = request_for(model="claude-3-haiku-20240307", response_format=wanted)
    assert translated.json_tool == translated.body["tools"][0]["name"]
    assert translated.body["tools"][0]["input_schema"] == CLOSED
    assert translated.body["tool_choice"] == {"type": "tool", "name": translated.json_tool}


def test_json_without_a_schema_is_asked_for_in_words():
    told = body(response_format=ResponseFormat("json_object"))
    assert "JSON" in told["system"][0]["text"]
    assert "output_format" not in told
    assert "system" not in body(response_format=ResponseFormat("text"))


def test_sampling_is_fitted_to_what_anthropic_takes():
    told = body(temperature=1.7, top_p=0.9, top_k=5, seed=1, logprobs=True, stop=("a", "b"))
    assert told["temperature"] == 1.0
    assert told["top_k"] == 5
    assert told["stop_sequences"] == ["a", "b"]
    assert set(told) == {"model", "messages", "max_tokens", "temperature", "top_k", "stop_sequences"}
    assert body(top_p=0.9)["top_p"] == 0.9


def test_models_that_refuse_sampling_get_none():
    told = body(model="claude-opus-5-5", temperature=0.2, top_k=5)
    assert set(told) == {"model", "messages", "max_tokens"}


def test_effort_becomes_a_budget_or_an_effort_as_the_model_has_it():
    assert body(reasoning_effort="low")["thinking"]["type"] == "enabled"
    newer = body(model="claude-sonnet-5-5", reasoning_effort="high")
    assert newer["thinking"]["type"] == "adaptive"
    assert newer["output_config"] == {"effort": "high"}
    assert "thinking" not in body(reasoning_effort="none")


def test_a_guessed_budget_stays_below_the_clients_limit():
    assert body(reasoning_effort="high", max_tokens=2000)["thinking"]["budget_tokens"] == 1999
    assert "thinking" not in body(reasoning_effort="high", max_tokens=500)


def test_a_clients_own_budget_is_its_own():
    told = body(thinking=Thinking("enabled", 5000), max_tokens=2000)
    assert told["thinking"] == {"type": "enabled", "budget_tokens": 5000}
    assert told["max_tokens"] == 2000


BLOCKS = (ThinkingBlock("hm", "sig"), ThinkingBlock(redacted="r"))
KEPT = [
    {"type": "thinking", "thinking": "hm", "signature": "sig"},
    {"type": "redacted_thinking", "data": "r"},
]


def test_thinking_that_a_client_dropped_is_handed_back():
    memory = ReasoningMemory(lambda: 0)
    memory.remember(CALLS, Thoughts("hm", BLOCKS))
    told = body(TURN, tools=TOOLS, reasoning_effort="low", memory=memory)
    assert told["messages"][1]["content"][:2] == KEPT
    assert told["thinking"]["type"] == "enabled"


def test_thinking_that_a_client_kept_is_handed_back():
    turn = (TURN[0], Message("assistant", None, tool_calls=CALLS, thinking_blocks=BLOCKS), *ANSWERS)
    assert body(turn, tools=TOOLS, reasoning_effort="low")["messages"][1]["content"][:2] == KEPT


def test_a_turn_whose_thinking_is_lost_goes_on_without():
    told = body(TURN, tools=TOOLS, reasoning_effort="low")
    assert "thinking" not in told
    assert told["messages"][1]["content"][0]["type"] == "tool_use"


def test_thinking_stays_away_where_it_is_switched_off():
    memory = ReasoningMemory(lambda: 0)
    memory.remember(CALLS, Thoughts("hm", BLOCKS))
    told = body(TURN, tools=TOOLS, thinking=Thinking("disabled"), memory=memory)
    assert told["messages"][1]["content"][0]["type"] == "tool_use"


def test_what_cant_be_translated_is_the_clients_to_mend():
    call = ToolCall("toolu_cccccccccc", "weather", "{oops")
    turn = (Message("user", "the prompt"), Message("assistant", None, tool_calls=(call,)))
    with pytest.raises(RequestError) as caught:
        body((*turn, Message("tool", "r", tool_call_id=call.id)), tools=TOOLS)
    assert "the prompt" not in caught.value.message
    assert "litellm" not in caught.value.message
