"""What servers with OpenAI's API say otherwise than OpenAI does, as a client gets it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.usage import Usage
from chatvault.errors import ProviderError
from chatvault.providers.openai_wire import read_completion
from tests.support.answers import cut
from tests.support.openai_events import (
    DONE,
    HI,
    ROLE,
    STOP,
    THERE,
    USAGE,
    event,
    pass_on,
    pass_on_until_it_breaks,
)
from tests.support.streams import hear

F, G = (
    {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    for id, name, arguments in (("c_1", "f", '{"a":1}'), ("c_2", "g", '{"b":2}'))
)


@pytest.mark.parametrize("before", [ROLE, ROLE + HI, ROLE + HI + THERE * 9])
@pytest.mark.parametrize("is_burst", [True, False])
def test_an_old_function_call_is_a_tool_call(before, is_burst) -> None:
    sent = [event({"function_call": {"name": "f", "arguments": ""}})]
    sent += [event({"function_call": {"arguments": text}}) for text in ('{"a"', ":1}")]
    sent = [before, *sent, event({}, "function_call"), DONE]
    said = hear(pass_on(*([b"".join(sent)] if is_burst else sent))[0])
    assert [(t["name"], t["arguments"]) for t in said.tools.values()] == [("f", '{"a":1}')]
    assert said.finish == "tool_calls"


@pytest.mark.parametrize(
    ("told", "finish"),
    [
        ("eos", "stop"),
        ("STOP", "stop"),
        ("tool_call", "tool_calls"),
        ("MAX_TOKENS", "length"),
        ("insufficient_system_resource", "insufficient_system_resource"),
        (1, "stop"),
    ],
)
def test_a_finish_reason_is_one_of_openais_where_it_means_one(told, finish) -> None:
    whole, stream, _ = pass_on(ROLE, HI, event({}, told), DONE)
    assert hear(whole).finish == stream.meter.finish_reason == finish


def test_an_empty_finish_reason_is_none() -> None:
    whole, _, stream = pass_on_until_it_breaks(event({"content": "Hi"}, ""), event({"content": "!"}, ""))
    assert stream.meter.finish_reason is None
    assert [chunk["choices"][0]["finish_reason"] for chunk in hear(whole).chunks] == [None, None]


def test_parts_are_text_and_thoughts() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hmm"}]}
    begun = event({"role": "assistant", "content": [thought]}) + event({"content": "Hi"})
    parts = [{"type": "text", "text": " the"}, {"type": "reference", "reference_ids": [1]}, "re"]
    whole, stream, _ = pass_on(begun, event({"content": parts}), event({}, "stop", usage=USAGE), DONE)
    said = hear(whole)
    assert (said.reasoning, said.text, said.finish) == ("Hmm", "Hi there", "stop")
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


def test_both_names_of_reasoning_are_one() -> None:
    new = event({"reasoning": "Hm", "reasoning_content": None, "content": None})
    assert hear(pass_on(ROLE, new, new, HI, STOP, DONE)[0]).reasoning == "HmHm"
    for odd in (
        b'{"reasoning": "hm", "reasoning_content": null, "content": "Hi"}',
        b'{"reasoning_content": null, "reasoning": "hm"}',
    ):
        sent = b'{"choices":[{"message":%b,"finish_reason":"stop"}]}' % odd
        message = json.loads(read_completion("up", sent).body)["choices"][0]["message"]
        assert message["reasoning_content"] == "hm"


@pytest.mark.parametrize("choice", [{"delta": None}, {}, {"message": {"content": "Hi"}}])
def test_a_last_chunk_without_a_delta_repeats_nothing(choice) -> None:
    last = event({}, choices=[{"index": 0, **choice, "finish_reason": "stop"}])
    said = hear(pass_on(ROLE, HI, last, DONE)[0])
    assert (said.text, said.finish) == ("Hi", "stop")


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_a_whole_answer_in_place_of_a_stream_becomes_one(asked, end) -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [F]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    body = json.dumps(
        {"id": "c1", "object": "chat.completion", "choices": [choice], "usage": USAGE}, indent=1
    )
    sent = b"\n\n" + body.encode() + end
    whole, stream, _ = pass_on(*cut(sent, [9, 60]), include_usage=asked)
    said = hear(whole)
    assert (said.text, said.finish, said.is_done) == ("Hi", "tool_calls", True)
    assert said.tools == {0: {"id": "c_1", "name": "f", "arguments": '{"a":1}'}}
    assert said.usage == (USAGE if asked else None)
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


def test_half_a_character_costs_only_itself() -> None:
    half = HI.replace(b"Hi", b"\\ud83d")
    whole, stream, _ = pass_on(ROLE, HI, half, THERE, STOP, DONE)
    assert hear(whole).text == "Hi\ufffd there é\\n"
    assert stream.meter.finish_reason == "stop"


_NAMES = st.sampled_from(["id", "index", "function", "name", "arguments", "type", "text"])
_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner),
)


@given(_ODD)
def test_nothing_in_a_delta_is_a_defect_of_ours(odd) -> None:
    for delta in (odd, {"tool_calls": odd}, {"tool_calls": [odd]}, {"content": odd}, {"function_call": odd}):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        try:
            pass_on(ROLE, HI, event({}, choices=[choice]), event({}, choices=[choice]), STOP, DONE)
            read_completion("up", whole(delta, odd))
        except ProviderError:
            pass


def whole(message: object, finish: object = "stop", **more: object) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    told = {"id": "c1", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": USAGE}
    return json.dumps({**told, **more}).encode()


BARE = F | {"function": {"name": "f", "arguments": "{}"}}
HELLO = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    "body",
    [
        whole(HELLO),
        whole({"role": "assistant", "content": None, "tool_calls": [F, G]}, "tool_calls"),
        whole(HELLO | {"tool_calls": None, "function_call": None}, None),
        whole(HELLO | {"content": {"a": 1}}),
        whole(HELLO, "insufficient_system_resource"),
    ],
)
def test_a_whole_answer_in_openais_shape_goes_out_as_it_came(body) -> None:
    assert read_completion("up", body).body == body


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (HELLO | {"content": [{"type": "text", "text": "H"}, "i"]}, HELLO),
        (
            {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}]},
            {"content": "Hi", "reasoning_content": "hm"},
        ),
        (HELLO | {"reasoning": "hm", "reasoning_content": None}, HELLO | {"reasoning_content": "hm"}),
        (
            {"tool_calls": [{"id": "c_1", "function": {"name": "f", "arguments": {"a": 1}}}, G]},
            {"tool_calls": [F, G]},
        ),
        *(
            ({"tool_calls": [F | {"function": {"name": "f", **none}}]}, {"tool_calls": [BARE]})
            for none in ({}, {"arguments": None})
        ),
    ],
)
def test_a_whole_answer_is_put_into_openais_shape(odd, message) -> None:
    completion = read_completion("up", whole(odd, "eos"))
    choice = json.loads(completion.body)["choices"][0]
    assert choice == {"index": 0, "message": message, "finish_reason": "stop"}
    assert (completion.finish_reason, completion.usage) == ("stop", Usage(9, output_tokens=3))


def test_a_whole_answers_calls_get_ids() -> None:
    function = {"name": "f", "arguments": '{"a":1}'}
    for odd in ({"function_call": function}, {"tool_calls": [{"id": None, "function": function}]}):
        told = json.loads(read_completion("up", whole(odd, "function_call")).body)["choices"][0]
        (called,) = told["message"]["tool_calls"]
        assert (called["type"], called["function"], told["finish_reason"]) == (
            "function",
            function,
            "tool_calls",
        )
        assert called["id"]


@pytest.mark.parametrize("odd", [{"id": 10**30}, {"model": None}, {"created": "1"}, {"id": [], "model": 4}])
def test_odd_names_do_not_lose_a_whole_answer(odd) -> None:
    assert read_completion("up", whole(HELLO, **odd)).usage == Usage(9, output_tokens=3)


def test_a_byte_order_mark_and_half_a_character_do_not_lose_a_whole_answer() -> None:
    sent = b"\xef\xbb\xbf" + whole(HELLO | {"content": "a\ud83d"})
    assert json.loads(read_completion("up", sent).body)["choices"][0]["message"]["content"] == "a\ufffd"


def test_half_a_character_and_another_shape_are_both_mended() -> None:
    odd = {"function": {"name": "f", "arguments": {"a": "\ud83d"}}}
    sent = whole({"content": [{"type": "text", "text": "Hi"}], "tool_calls": [odd]})
    message = json.loads(read_completion("up", sent).body)["choices"][0]["message"]
    assert (message["content"], message["tool_calls"][0]["function"]["arguments"]) == ("Hi", '{"a":"\ufffd"}')
    said = hear(pass_on(ROLE, HI, event({"tool_calls": [odd]}), STOP, DONE)[0])
    assert [call["arguments"] for call in said.tools.values()] == ['{"a":"\ufffd"}']


def test_zeros_beside_a_whole_answer_are_no_count() -> None:
    zeros = {"prompt_tokens": 9, "completion_tokens": 0}
    assert read_completion("up", whole(HELLO, usage=zeros)).usage is None
    nothing = read_completion("up", whole(HELLO | {"content": ""}, usage=zeros))
    assert nothing.usage == Usage(9, output_tokens=0)


def test_json_without_an_event_around_it_is_an_error() -> None:
    bare = b'{"error":{"message":"boom"}}\n\n'
    whole, error, _ = pass_on_until_it_breaks(ROLE + HI, bare, DONE)
    assert whole == ROLE + HI
    assert isinstance(error, ProviderError)
