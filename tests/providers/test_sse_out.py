"""The chunks and bodies written for clients."""

import json

from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import ToolCall
from chatvault.core.usage import Usage
from chatvault.providers.sse_out import DONE, ChunkWriter, completion_body, fresh_id, usage_object

WRITER = ChunkWriter(id='x"1', created=1700000000, model="m")


def payload(event: bytes) -> dict[str, object]:
    assert event.startswith(b"data: ") and event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    parsed = json.loads(event[6:])
    assert parsed["id"] == 'x"1'
    assert parsed["object"] == "chat.completion.chunk"
    assert parsed["created"] == 1700000000
    assert parsed["model"] == "m"
    return parsed


def choice(delta: dict[str, object], finish: str | None = None) -> list[dict[str, object]]:
    return [{"index": 0, "delta": delta, "finish_reason": finish}]


def test_the_first_chunk_names_the_role():
    assert payload(WRITER.role())["choices"] == choice({"role": "assistant", "content": ""})


@given(st.text())
def test_any_text_survives_as_content_and_reasoning(text):
    assert payload(WRITER.content(text))["choices"] == choice({"content": text})
    assert payload(WRITER.reasoning(text))["choices"] == choice({"reasoning_content": text})


def test_a_tool_call_opens_with_its_name_and_grows_by_arguments():
    opened = payload(WRITER.tool_call(1, ToolCall("call_1", 'f"', "")))["choices"]
    function = {"name": 'f"', "arguments": ""}
    call = {"index": 1, "id": "call_1", "type": "function", "function": function}
    assert opened == choice({"tool_calls": [call]})
    grown = payload(WRITER.tool_arguments(1, '{"a":'))["choices"]
    assert grown == choice({"tool_calls": [{"index": 1, "function": {"arguments": '{"a":'}}]})


def test_the_finish_chunk_has_an_empty_delta():
    assert payload(WRITER.finish("tool_calls"))["choices"] == choice({}, "tool_calls")


def test_the_usage_chunk_has_no_choices():
    told = payload(WRITER.usage(Usage(input_tokens=5, output_tokens=2)))
    assert told["choices"] == []
    assert told["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


def test_the_end_is_openais():
    assert DONE == b"data: [DONE]\n\n"


def test_details_stand_only_where_they_are_known():
    usage = Usage(
        input_tokens=100, cached_tokens=40, cache_write_tokens=7, output_tokens=30, reasoning_tokens=9
    )
    assert usage_object(usage) == {
        "prompt_tokens": 100,
        "completion_tokens": 30,
        "total_tokens": 130,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_creation_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    assert usage_object(Usage()) == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_a_whole_answer_has_openais_shape():
    body = completion_body(
        id="a",
        created=3,
        model="m",
        content=None,
        finish_reason="tool_calls",
        usage=Usage(input_tokens=1, output_tokens=2),
        reasoning="hm",
        tool_calls=(ToolCall("c", "f", "{}"),),
    )
    assert json.loads(body) == {
        "id": "a",
        "object": "chat.completion",
        "created": 3,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_a_plain_answer_names_neither_tools_nor_reasoning():
    body = completion_body(id="a", created=3, model="m", content="hi", finish_reason="stop", usage=None)
    parsed = json.loads(body)
    assert parsed["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert "usage" not in parsed


def test_ids_differ():
    assert fresh_id() != fresh_id()
    assert fresh_id().startswith("chatcmpl-")
