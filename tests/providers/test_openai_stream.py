"""Streams of OpenAI-shaped providers, passed on."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.usage import Usage, UsageBasis
from chatvault.errors import (
    ProviderBroke,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
)
from chatvault.providers.openai_stream import OpenAIStream
from tests.support.answers import FakeAnswer, cut
from tests.support.openai_events import (
    DONE,
    HI,
    ROLE,
    STOP,
    THERE,
    USAGE,
    USAGE_CHUNK,
    event,
    pass_on,
    pass_on_until_it_breaks,
)
from tests.support.streams import hear, read_to_end


def test_bytes_go_out_as_they_came():
    whole, stream, _ = pass_on(ROLE + HI, THERE, STOP + DONE)
    assert whole == ROLE + HI + THERE + STOP + DONE
    assert stream.meter.finish_reason == "stop"
    assert stream.meter.upstream_model == "m-1"
    assert stream.meter.upstream_request_id == "c1"


def test_the_usage_chunk_goes_only_to_who_asked():
    sent = ROLE + HI + STOP + USAGE_CHUNK + DONE
    whole, stream, _ = pass_on(sent)
    assert whole == ROLE + HI + STOP + DONE
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)
    asked, _, _ = pass_on(sent, include_usage=True)
    assert asked == sent


def test_usage_in_the_last_content_chunk_becomes_a_chunk_of_its_own():
    sent = ROLE + HI + event({"content": "!"}, "stop", usage=USAGE) + DONE
    whole, stream, _ = pass_on(sent)
    assert whole == ROLE + HI + event({"content": "!"}, "stop") + DONE
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)
    heard = hear(pass_on(sent, include_usage=True)[0])
    assert heard.text == "Hi!"
    assert heard.usage == USAGE
    assert heard.is_done


def test_usage_in_every_chunk_counts_once_with_its_last_value():
    early = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    sent = event({"role": "assistant"}, usage=early) + event({"content": "Hi"}, usage=early)
    sent += event({}, "stop", usage=USAGE) + DONE
    heard = hear(pass_on(sent, include_usage=True)[0])
    assert [chunk["choices"] == [] for chunk in heard.chunks] == [False, False, False, True]
    assert heard.usage == USAGE


def test_an_empty_usage_field_is_left_to_who_asked():
    sent = event({"content": "Hi"}, usage=None) + event({}, "stop", usage=None) + DONE
    assert pass_on(sent)[0] == event({"content": "Hi"}) + event({}, "stop") + DONE
    assert pass_on(sent, include_usage=True)[0] == sent


def test_a_usage_chunk_without_choices_is_mended():
    bare = b'data: {"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
    heard = hear(pass_on(ROLE + HI + STOP + bare + DONE, include_usage=True)[0])
    assert heard.usage == USAGE
    assert heard.chunks[-1]["id"] == "c1"


def test_reasoning_gets_the_name_that_clients_know():
    sent = (
        event({"role": "assistant", "reasoning": "hm"})
        + event({"reasoning": '"reasoning": ah'})
        + STOP
        + DONE
    )
    heard = hear(pass_on(sent)[0])
    assert heard.reasoning == 'hm"reasoning": ah'


def test_reasoning_that_is_told_twice_stays_as_it_is():
    sent = event({"reasoning": "hm", "reasoning_content": "hm"}) + STOP + DONE
    assert pass_on(sent)[0] == sent


def test_text_that_looks_like_a_signal_is_text():
    text = 'data: [DONE]\n\n {"error":1} "usage":{} "finish_reason":"stop"\n: ping'
    sent = ROLE + event({"content": text}) + STOP + DONE
    heard = hear(pass_on(sent)[0])
    assert heard.text == text
    assert heard.finish == "stop"


def test_comments_are_no_sign_of_life_and_stay_inside():
    whole, _, answer = pass_on(
        b": keep-alive\n\n", b": keep", b"-alive\n\n", ROLE, b": keep-alive\n\n" + HI, STOP + DONE
    )
    assert whole == ROLE + HI + STOP + DONE
    # The role, "Hi", the finish reason and the end: four payloads, and none of the comments.
    assert answer.payloads_seen == 4


def test_pieces_of_one_event_are_signs_of_life():
    _, _, answer = pass_on(ROLE, HI[:20], HI[20:], STOP + DONE)
    assert answer.payloads_seen == 5


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_are_read(end):
    sent = (ROLE + HI + STOP + USAGE_CHUNK + DONE).replace(b"\n", end)
    assert pass_on(sent)[0] == ROLE + HI + STOP + DONE


def test_event_names_and_spaced_json_are_read():
    def spaced(chunk: bytes) -> bytes:
        return b"event: message\ndata: " + json.dumps(json.loads(chunk[6:])).encode() + b"\n\n"

    whole, stream, _ = pass_on(b"".join(map(spaced, (ROLE, HI, STOP, USAGE_CHUNK))) + DONE)
    heard = hear(whole)
    assert (heard.text, heard.finish, heard.usage, heard.is_done) == ("Hi", "stop", None, True)
    assert stream.meter.finish_reason == "stop"
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


def test_a_stream_that_never_says_done_but_finished_is_whole():
    assert pass_on(ROLE + HI + STOP)[0] == ROLE + HI + STOP + DONE


def test_the_last_event_may_lack_its_blank_line():
    assert pass_on(ROLE + HI + STOP + b"data: [DONE]")[0] == ROLE + HI + STOP + DONE


def test_a_stream_that_just_ends_broke():
    whole, error, stream = pass_on_until_it_breaks(ROLE + HI)
    assert whole == ROLE + HI
    assert isinstance(error, ProviderBroke)
    assert stream.meter.finish_reason is None


def test_half_an_event_is_not_passed_on():
    whole, error, _ = pass_on_until_it_breaks(ROLE + HI[:40], ProviderBroke("gone"))
    assert whole == ROLE
    assert isinstance(error, ProviderBroke)


def test_a_timeout_comes_through():
    _, error, _ = pass_on_until_it_breaks(ROLE, ProviderTimeout("silent"))
    assert isinstance(error, ProviderTimeout)


@pytest.mark.parametrize(
    ("told", "kind", "status"),
    [
        (b'data: {"error":{"message":"m","type":"server_error","code":null}}\n\n', ProviderFailed, 502),
        (b'data: {"error": {"message": "m", "type": "rate_limit_error"}}\n\n', ProviderOverloaded, 429),
        (b'data: {"error":{"message":"m","code":503}}\n\n', ProviderOverloaded, 503),
        (b'data: {"error":{"message":"too long","type":"invalid_request_error"}}\n\n', ProviderRefused, 400),
        (b'event: error\ndata: {"message":"m"}\n\n', ProviderFailed, 502),
        (b'data: {"error":"model crashed"}\n\n', ProviderFailed, 502),
    ],
)
def test_an_error_inside_the_stream_is_raised_after_what_came_before_it(told, kind, status):
    whole, error, _ = pass_on_until_it_breaks(ROLE + HI + told + DONE)
    assert whole == ROLE + HI
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize("payload", [b"{oops", b"[]", b"7", b'"x"', b"null", b'{"choices":[{"delta":{"con'])
@pytest.mark.parametrize("before", [ROLE, ROLE + HI, ROLE + HI + THERE])
def test_what_is_no_json_object_never_goes_out(before, payload):
    whole, error, _ = pass_on_until_it_breaks(before + b"data: " + payload + b"\n\n" + STOP + DONE)
    assert whole == before
    assert isinstance(error, ProviderBroke)


@pytest.mark.parametrize("length", range(1, len(HI) - 1))
def test_half_an_event_at_the_bodys_end_never_goes_out(length):
    whole, error, _ = pass_on_until_it_breaks(ROLE + HI + HI[:length])
    assert whole in (ROLE + HI, ROLE + HI + HI)
    assert isinstance(error, ProviderBroke)
    # Only what is whole but for its blank line has come through.
    assert length == len(HI) - 2 or whole == ROLE + HI


def test_an_object_of_another_shape_goes_out_all_the_same():
    odd = b'data: {"choices":[{"index":0,"delta":{"content":{"a":1}},"finish_reason":null}]}\n\n'
    assert pass_on(ROLE + odd + STOP + DONE)[0] == ROLE + odd + STOP + DONE


@pytest.mark.parametrize("spaced", [b'"choices":[]', b'"choices": []'])
def test_a_chunk_without_choices_and_without_usage_is_dropped(spaced):
    empty = b'data: {"id":"c1","object":"chat.completion.chunk",%b,"prompt_filter_results":[]}\n\n' % spaced
    sent = empty + ROLE + HI + empty + THERE + STOP + empty + DONE
    for asked in (False, True):
        assert pass_on(sent, include_usage=asked)[0] == ROLE + HI + THERE + STOP + DONE


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ('"none"', None),
        ("[]", None),
        ('{"prompt_tokens":"9","completion_tokens":3}', Usage(output_tokens=3, basis=UsageBasis.ESTIMATED)),
        ('{"prompt_tokens":-1,"completion_tokens":1e400}', Usage(basis=UsageBasis.ESTIMATED)),
        (
            '{"prompt_tokens":9007199254740993,"completion_tokens":3}',
            Usage(output_tokens=3, basis=UsageBasis.ESTIMATED),
        ),
        ('{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":7}', Usage(9, output_tokens=3)),
    ],
)
def test_odd_usage_costs_nobody_the_answer(told, usage):
    chunk = b'data: {"id":"c1","choices":[],"usage":' + told.encode() + b"}\n\n"
    whole, stream, _ = pass_on(ROLE + HI + STOP + chunk + DONE)
    assert whole == ROLE + HI + STOP + DONE
    assert stream.meter.usage == usage
    last = event({}, "stop")[:-3] + b',"usage":' + told.encode() + b"}\n\n"
    assert hear(pass_on(ROLE + HI + last + DONE)[0]).text == "Hi"


def test_more_from_the_cache_than_was_read_is_all_of_it_by_estimate():
    chunk = USAGE_CHUNK.replace(
        b'"total_tokens":12', b'"total_tokens":12,"prompt_tokens_details":{"cached_tokens":10}'
    )
    _, stream, _ = pass_on(ROLE + HI + STOP + chunk + DONE)
    assert stream.meter.usage == Usage(9, 9, output_tokens=3, basis=UsageBasis.ESTIMATED)


def test_what_is_cut_off_can_be_estimated():
    _, _, stream = pass_on_until_it_breaks(ROLE, *[event({"content": "word " * 8})] * 10)
    assert stream.meter.usage is None
    # Ten pieces of forty characters are about a hundred tokens; the frame around the text is not counted.
    assert 90 <= stream.meter.final_usage(input_estimate=7).output_tokens <= 110


def test_the_body_is_read_to_its_end_so_that_the_connection_can_serve_again():
    _, _, answer = pass_on(ROLE + STOP + DONE, b"\n")
    assert answer.reads == 3


def test_a_server_that_stays_after_the_end_is_not_waited_for():
    class Lingering(FakeAnswer):
        async def read(self) -> bytes:
            data = await super().read()
            if not data:
                await asyncio.sleep(60)
            return data

    stream = OpenAIStream(Lingering(ROLE + STOP + DONE), provider="up", include_usage=False)
    assert asyncio.run(asyncio.wait_for(read_to_end(stream), 5)) == ROLE + STOP + DONE


def test_several_choices_pass():
    other = event({"content": "B"}).replace(b'"index":0', b'"index":1')
    assert pass_on(ROLE + HI + other + STOP + DONE)[0] == ROLE + HI + other + STOP + DONE


_EVENTS = st.lists(
    st.sampled_from(
        [
            HI,
            THERE,
            b": c\n\n",
            event({"reasoning": "r"}),
            event({"content": "u"}, usage=USAGE),
            event({"content": "n"}, usage=None),
        ]
    ),
    max_size=8,
)


@given(_EVENTS, st.lists(st.integers(0, 3000), max_size=10), st.booleans())
def test_any_cut_of_the_bytes_gives_the_same_events(middle, cuts, asked):
    sent = ROLE + b"".join(middle) + STOP + USAGE_CHUNK + DONE
    whole, stream, _ = pass_on(sent, include_usage=asked)
    pieces, in_pieces, _ = pass_on(*cut(sent, cuts), include_usage=asked)
    assert pieces == whole
    assert in_pieces.meter.usage == stream.meter.usage
    assert (hear(whole).usage is not None) == asked


def test_json_in_place_of_a_stream_is_an_error():
    told = b'{\n  "error": {"message": "m", "type": "rate_limit_error"}\n}'
    whole, error, _ = pass_on_until_it_breaks(told[:9], told[9:])
    assert whole == b""
    assert isinstance(error, ProviderOverloaded)


@pytest.mark.parametrize("before", [b"", HI, HI * 9], ids=["at once", "after a word", "in a burst"])
@pytest.mark.parametrize("last", [DONE, b'data: {"error":{"message":"m"}}\n\n'], ids=["the end", "an error"])
def test_what_follows_the_end_or_an_error_in_the_same_read_goes_nowhere(before: bytes, last: bytes) -> None:
    pieces = [ROLE + before + STOP + last + HI * 9]
    if last == DONE:
        whole, stream, _ = pass_on(*pieces)
        assert stream.meter.finish_reason == "stop"
        assert whole == ROLE + before + STOP + DONE
    else:
        whole, error, _ = pass_on_until_it_breaks(*pieces)
        assert isinstance(error, ProviderFailed)
        assert whole == ROLE + before + STOP


def test_tool_calls_are_measured_without_any_text_before_them() -> None:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    pieces = [event({"tool_calls": [first]})]
    for _ in range(5):
        pieces.append(event({"tool_calls": [{"index": 0, "function": {"arguments": "y" * 100}}]}))
    _, stream, _ = pass_on(ROLE, *pieces, event({}, "tool_calls"), DONE)
    assert 500 <= stream.meter.output_bytes <= 600
    assert stream.meter.deltas >= 5


@pytest.mark.parametrize(
    "nested", [b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}", b'{"choices":' + b"[" * 5000]
)
def test_an_event_nested_beyond_measure_is_a_break(nested: bytes) -> None:
    whole, error, _ = pass_on_until_it_breaks(ROLE, HI, b"data: " + nested + b"\n\n", HI)
    assert isinstance(error, ProviderBroke)
    assert whole == ROLE + HI


@pytest.mark.parametrize(
    "said",
    [
        b'data: {"object":"error","message":"boom","type":"BadRequestError","param":null,"code":400}\n\n',
        b'data: {"detail":"Internal Server Error"}\n\n',
        b'data: {"detail":[{"msg":"boom"}]}\n\n',
        b'data: {"message":"boom","code":500}\n\n',
        b'event:error\ndata: {"message":"boom"}\n\n',
        b'id: 7\nevent: error\ndata: "boom"\n\n',
        b'event: error\ndata: {"choices":[{"index":0,"finish_reason":"eos"}]}\n\n',
        b'error: {"code":500,"message":"boom","type":"server_error"}\n\n',
    ],
)
@pytest.mark.parametrize("is_burst", [True, False])
def test_an_error_of_any_shape_is_no_end(said, is_burst) -> None:
    sent = [ROLE, HI, THERE * 9, said, DONE]
    whole, error, _ = pass_on_until_it_breaks(*([b"".join(sent)] if is_burst else sent))
    assert whole == ROLE + HI + THERE * 9
    assert isinstance(error, ProviderError)


@pytest.mark.parametrize("known", [{"id": 10**30}, {"created": "1700000000"}, {"model": 4}, {"id": None}])
def test_odd_names_cost_neither_the_finish_nor_the_usage(known) -> None:
    whole, stream, _ = pass_on(
        event({"content": "Hi"}, **known), event({}, "stop", usage=USAGE, **known), DONE
    )
    assert (hear(whole).text, hear(whole).finish) == ("Hi", "stop")
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


@pytest.mark.parametrize("asked", [True, False])
def test_usage_is_found_where_groq_and_moonshot_put_it(asked) -> None:
    at_groq = event({}, "stop", x_groq={"id": "req_1", "usage": USAGE})
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}
    at_moonshot = event({}, choices=[choice])
    for last in (at_groq, at_moonshot):
        whole, stream, _ = pass_on(ROLE, HI, last, DONE, include_usage=asked)
        assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)
        assert (hear(whole).usage is not None) == asked
    whole, stream, _ = pass_on(ROLE, HI, event({}, "stop", x_groq="odd"), DONE)
    assert hear(whole).finish == "stop"


def test_the_first_chunk_of_azures_says_nothing() -> None:
    filtered = b'data: {"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[]}\n\n'
    whole, stream, _ = pass_on(filtered, ROLE, HI, STOP, USAGE_CHUNK, DONE)
    assert whole == ROLE + HI + STOP + DONE
    assert (stream.meter.upstream_model, stream.meter.upstream_request_id) == ("m-1", "c1")


def test_a_running_count_is_the_last_one_only_where_the_answer_ends() -> None:
    counted = [
        event({"content": "Hi"}, usage={"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}),
        event({"content": " you"}, usage={"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}),
    ]
    _, _, stream = pass_on_until_it_breaks(*counted)
    assert stream.meter.usage == Usage(input_tokens=9)
    cut = Usage(input_tokens=9, output_tokens=8, basis=UsageBasis.ESTIMATED)
    assert stream.meter.final_usage(input_estimate=99) == cut
    _, stream, _ = pass_on(*counted, STOP, DONE)
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=8)


def test_zeros_beside_text_are_no_count() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    _, stream, _ = pass_on(ROLE, HI, THERE, event({}, "stop", usage=zeros), DONE)
    counted = stream.meter.final_usage(input_estimate=99)
    assert counted.input_tokens == 99
    assert counted.output_tokens
    assert counted.basis is UsageBasis.ESTIMATED


def test_usage_that_says_nothing_unsays_nothing() -> None:
    _, stream, _ = pass_on(ROLE, HI, STOP, USAGE_CHUNK, event({}, choices=[], usage={}), DONE)
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


@pytest.mark.parametrize("blank", [b"data:\n\n", b"data: \n\n", b"event: ping\ndata:  \n\n"])
def test_an_event_without_content_is_none(blank) -> None:
    whole, _, answer = pass_on(blank, ROLE + blank, HI, blank, blank + THERE, STOP + blank, DONE)
    assert whole == ROLE + HI + THERE + STOP + DONE
    assert answer.payloads_seen == 5


@pytest.mark.parametrize("ends", [b"\n\n\n", b"\n\n\n\n\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_more_line_ends_than_it_takes_are_no_matter(ends, size) -> None:
    sent = (b": ping\n\n" + ROLE + HI + THERE * 6 + STOP + USAGE_CHUNK + DONE).replace(b"\n\n", ends)
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    whole, stream, _ = pass_on(*pieces)
    assert (hear(whole).text, hear(whole).finish) == ("Hi" + " there é\\n" * 6, "stop")
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


def test_a_name_that_is_no_text_breaks_the_answer() -> None:
    usage = event({"content": "x"}, usage=USAGE).replace(b'"object"', b'"obj\xff"')
    _, error, _ = pass_on_until_it_breaks(ROLE, HI, usage)
    assert isinstance(error, ProviderError)


def test_zeros_unsay_no_count() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    counted = event({}, "stop", usage=USAGE)
    _, stream, _ = pass_on(ROLE, HI, counted, event({}, choices=[], usage=zeros), DONE)
    assert stream.meter.usage == Usage(input_tokens=9, output_tokens=3)


def test_each_event_of_a_burst_may_have_its_own_name_for_reasoning() -> None:
    thoughts = event({"reasoning": "a"}) + event({"reasoning_content": "b"}) + event({"reasoning": "c"})
    whole, _, _ = pass_on(ROLE + HI, thoughts + HI * 6 + STOP + DONE)
    assert hear(whole).reasoning == "abc"
