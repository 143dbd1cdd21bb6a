"""Ollama's lines, turned into OpenAI's answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import ProviderBroke, ProviderFailed
from chatvault.providers.ollama_answer import MAX_LINE_BYTES, LineSplitter, Translator, read_completion
from tests.support.answers import cut
from tests.support.streams import Heard, hear


def line(done: str | None = None, **message: Any) -> bytes:
    told: dict[str, Any] = {"model": "m", "message": {"role": "assistant", "content": "", **message}}
    told["done"] = done is not None
    if done is not None:
        told |= {"done_reason": done, "prompt_eval_count": 7, "eval_count": 3}
    return json.dumps(told).encode() + b"\n"


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"index": 0, "name": name, "arguments": arguments}, **more}


def translated(*lines: bytes, include_usage: bool = False) -> tuple[Heard, Translator]:
    translator = Translator(model="llama3", created=5, include_usage=include_usage)
    heard = hear(translator.begin() + b"".join(map(translator.translate, lines)))
    return heard, translator


PLAIN = [line(content="Red"), line(content=', "é\n'), line("stop")]
TOOLS = [
    line(thinking="Hm"),
    line(thinking="m."),
    line(tool_calls=[call("weather", {"city": "Ulm"}), call("clock", {}, id="call_x")]),
    line(tool_calls=[call("clock", None)]),
    line("stop"),
]


def test_text_comes_out_as_it_is() -> None:
    heard, translator = translated(*PLAIN)
    assert (heard.text, heard.finish, heard.is_done, heard.usage) == ('Red, "é\n', "stop", True, None)
    assert heard.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert {chunk["model"] for chunk in heard.chunks} == {"llama3"}
    meter = translator.meter
    assert (meter.deltas, meter.output_bytes, meter.finish_reason) == (2, 9, "stop")
    assert meter.usage is not None
    assert (meter.usage.input_tokens, meter.usage.output_tokens) == (7, 3)


def test_the_usage_chunk_is_for_who_asked() -> None:
    heard, _ = translated(*PLAIN, include_usage=True)
    assert heard.usage == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def test_thinking_becomes_reasoning_content_and_tool_calls_get_indexes_and_ids() -> None:
    heard, translator = translated(*TOOLS)
    assert (heard.reasoning, heard.text, heard.finish) == ("Hmm.", "", "tool_calls")
    assert [heard.tools[index]["name"] for index in (0, 1, 2)] == ["weather", "clock", "clock"]
    assert [json.loads(heard.tools[index]["arguments"]) for index in (0, 1, 2)] == [{"city": "Ulm"}, {}, {}]
    assert heard.tools[1]["id"] == "call_x"
    assert heard.tools[0]["id"].startswith("call_") and heard.tools[0]["id"] != heard.tools[2]["id"]
    assert translator.meter.finish_reason == "tool_calls"


def test_arguments_keep_their_numbers() -> None:
    arguments = '{"n":1.50,"b":12345678901234567890}'
    sent = f'{{"message":{{"tool_calls":[{{"function":{{"name":"f","arguments":{arguments}}}}}]}}}}'
    heard, _ = translated(sent.encode(), line("stop"))
    assert heard.tools[0]["arguments"] == arguments


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "stop"), ("length", "length"), ("load", "stop"), ("unload", "stop")]
)
def test_a_done_reason_becomes_a_finish_reason(reason: str, finish: str) -> None:
    assert translated(line(content="a"), line(reason))[0].finish == finish


def test_raw_tool_call_text_stays_text() -> None:
    text = '<tool_call>\n{"name": "f"}\n</tool_call>'
    heard, _ = translated(line(content=text), line("stop"))
    assert (heard.text, heard.tools, heard.finish) == (text, {}, "stop")


def test_absent_counts_are_unknown() -> None:
    _, translator = translated(
        b'{"message":{"content":"hi"},"done":true,"done_reason":"stop","eval_count":9}'
    )
    usage = translator.meter.usage
    assert usage is not None and (usage.input_tokens, usage.output_tokens) == (None, 9)


def test_logprobs_are_openais() -> None:
    entry = {"token": "1", "logprob": -0.5, "bytes": [49]}
    sent = json.dumps({"message": {"content": "1"}, "logprobs": [entry]}).encode()
    heard, _ = translated(sent, line("stop"))
    told = heard.chunks[1]["choices"][0]["logprobs"]
    assert told == {"content": [{**entry, "top_logprobs": []}], "refusal": None}


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (b'{"error":"secret log line of another request"}', "broke off"),
        (b'{"error":{"message":"secret"}}', "broke off"),
        (b"<html>secret</html>", "makes no sense"),
        (b'{"message":"secret"}', "makes no sense"),
        (b"\xff\xfe", "makes no sense"),
    ],
)
def test_a_broken_line_ends_the_answer_without_its_words(broken: bytes, words: str) -> None:
    translator = Translator(model="m", created=1, include_usage=False)
    translator.translate(line(content="The"))
    with pytest.raises(ProviderBroke, match=words) as caught:
        translator.translate(broken)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    assert translator.meter.deltas == 1
    assert not translator.is_done


def test_nothing_follows_the_end() -> None:
    _, translator = translated(*PLAIN)
    assert translator.translate(line(content="more")) == b""


@given(st.sampled_from([PLAIN, TOOLS]), st.lists(st.integers(0, 10_000), max_size=40))
def test_any_cut_gives_the_same_answer(lines: list[bytes], cuts: list[int]) -> None:
    splitter = LineSplitter()
    found = [whole for piece in cut(b"".join(lines), cuts) for whole in splitter.feed(piece)]
    assert [whole for whole in found if whole] == [each.rstrip(b"\n") for each in lines]
    assert splitter.end() == b""


@given(st.lists(st.binary(max_size=8)))
def test_a_splitter_loses_no_byte(pieces: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [whole for piece in pieces for whole in splitter.feed(piece)]
    assert b"\n".join([*lines, splitter.end()]) == b"".join(pieces)


def test_a_last_line_needs_no_line_end() -> None:
    splitter = LineSplitter()
    assert splitter.feed(b"a\nb") == [b"a"]
    assert splitter.end() == b"b"


def test_a_line_without_end_is_an_error() -> None:
    splitter = LineSplitter()
    piece = bytes(1024 * 1024)
    for _ in range(MAX_LINE_BYTES // len(piece)):
        splitter.feed(piece)
    with pytest.raises(ProviderBroke):
        splitter.feed(b"x")


def test_a_whole_answer_is_openais_object() -> None:
    sent = line("stop", content="Hi", thinking="Hm", tool_calls=[call("f", {"a": 1}, id="c1")])
    done = read_completion(sent, model="llama3", created=5)
    body = json.loads(done.body)
    assert body["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "reasoning_content": "Hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]
    assert (body["object"], body["created"], body["model"]) == ("chat.completion", 5, "llama3")
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert done.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"", "makes no sense"),
        (b"null", "makes no sense"),
        (b"[]", "makes no sense"),
        (b'{"error":"secret"}', "gave up"),
        (b'{"message":{"content":"half"},"done":false}', "gave up"),
    ],
)
def test_what_is_no_whole_answer_fails(sent: bytes, words: str) -> None:
    with pytest.raises(ProviderFailed, match=words) as caught:
        read_completion(sent, model="m", created=1)
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"prompt_eval_count": 7},
        {"prompt_eval_count": -7, "eval_count": 3},
        {"prompt_eval_count": "7", "eval_count": 3},
        {"prompt_eval_count": 7, "eval_count": 2**60},
    ],
)
def test_a_whole_answer_without_whole_counts_is_served_and_estimated(counts: dict[str, Any]) -> None:
    sent = {"message": {"content": "Hi"}, "done": True, "done_reason": "stop", **counts}
    completion = read_completion(json.dumps(sent).encode(), model="m", created=1)

    assert json.loads(completion.body)["choices"][0]["message"]["content"] == "Hi"
    assert completion.usage is None


@pytest.mark.parametrize(
    ("sent", "arguments"),
    [({"a": 1}, '{"a": 1}'), ('{"a":1}', '{"a":1}'), ("", "{}"), (None, "{}"), ("half \ud83d", None)],
)
def test_arguments_are_text_to_a_client_whatever_they_were(sent: Any, arguments: str | None) -> None:
    called = line(tool_calls=[call("f", sent, id=5)])
    if arguments is None:
        with pytest.raises(ProviderBroke):
            translated(called)
        return
    heard, _ = translated(called, line("stop"))
    assert heard.tools[0]["arguments"] == arguments
    assert heard.tools[0]["id"].startswith("call_")


def test_arguments_that_are_no_utf8_are_no_defect_of_ours() -> None:
    heard, _ = translated(line(tool_calls=[call("f", {"a": "X"})]).replace(b"X", b"\xff"), line("stop"))
    assert heard.tools[0]["arguments"] == '{"a": "\ufffd"}'


def test_zeros_beside_text_are_no_counts() -> None:
    zeros = json.loads(line("stop", content="Hi there")) | {"prompt_eval_count": 0, "eval_count": 0}
    sent = json.dumps(zeros).encode()
    _, translator = translated(sent)
    counted = translator.meter.final_usage(input_estimate=99)
    assert (counted.input_tokens, counted.output_tokens) == (99, 2)
    assert read_completion(sent, model="m", created=5).usage is None
    counted_prompt = json.dumps(zeros | {"prompt_eval_count": 7}).encode()
    assert read_completion(counted_prompt, model="m", created=5).usage is None
