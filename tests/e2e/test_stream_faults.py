"""What a client of a stream gets when the provider misbehaves: all that came, one error, and no `[DONE]`."""

import gzip
import itertools
import json
import time
import zlib

import pytest

from tests.support.clients import Caller, ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import (
    COST_PICOUSD,
    DONE,
    INPUT_TOKENS,
    MODEL,
    OUTPUT_TOKENS,
    chunk,
    settings,
    streamed,
    usage_chunk,
)
from tests.support.scripted import CUT, STALL, Answer, Step, Upstream, data, event_stream


@pytest.fixture
def daemon(serve: Serve, upstream: Upstream) -> Daemon:
    daemon = serve(settings(upstream.url, timeout_seconds=1))
    daemon.add_token()
    return daemon


_BREAKS: dict[str, list[Step]] = {
    "a cut": [CUT],
    "silence": [STALL],
    "an end without [DONE]": [],
    "an error event": [data({"error": {"message": "the model crashed", "type": "server_error"}})],
    "a cut in the middle of an event": [b'data: {"id": "x", "cho', CUT],
}


@pytest.mark.parametrize("how", list(_BREAKS))
def test_a_stream_that_breaks_ends_with_one_error(daemon: Daemon, upstream: Upstream, how: str) -> None:
    upstream.script = lambda seen: event_stream(chunk("half "), *_BREAKS[how])
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.status == 200 and heard.text == "half "
    assert not heard.is_done
    assert [event for event in heard.events if "error" in event] == [heard.events[-1]]
    assert set(heard.error or {}) == {"message", "type", "param", "code"}
    row = daemon.row(heard.id)
    assert (row["status"], row["usage_basis"]) == ("error", "estimated")
    assert row["error_code"] and row["output_tokens"] >= 1


@pytest.mark.parametrize("how", ["a cut", "silence"])
def test_a_whole_answer_that_breaks_is_an_error(daemon: Daemon, upstream: Upstream, how: str) -> None:
    upstream.script = lambda seen: Answer([b'{"id": "x", ', *_BREAKS[how]])
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL))
    assert heard.status == (504 if how == "silence" else 502)
    assert daemon.row(heard.id)["status"] == "error"


def test_an_answer_that_is_no_json_is_a_bad_gateway(daemon: Daemon, upstream: Upstream) -> None:
    upstream.script = lambda seen: Answer([b"<html>it works</html>"], framing="length")
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL))
    assert (heard.status, heard.json["error"]["code"]) == (502, "upstream_error")


def test_comments_do_not_count_as_life(daemon: Daemon, upstream: Upstream) -> None:
    comments = itertools.chain.from_iterable(itertools.repeat((b": keep-alive\n\n", 0.1)))
    upstream.script = lambda seen: event_stream(*[chunk("half ")], *itertools.islice(comments, 200))
    begun = time.monotonic()
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.error and heard.error["code"] == "upstream_timeout"
    assert time.monotonic() - begun < 10


def test_an_upstream_that_never_stops_commenting_times_out(daemon: Daemon, upstream: Upstream) -> None:
    comments = itertools.cycle((b": keep-alive\n\n", 0.1))
    upstream.script = lambda seen: Answer(comments, headers={"content-type": "text/event-stream"})
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.status == 504 or (heard.error or {})["code"] == "upstream_timeout"
    upstream.call.wait_closed()


@pytest.mark.parametrize("wanted", [True, False])
def test_the_usage_chunk_is_for_who_asked(daemon: Daemon, upstream: Upstream, wanted: bool) -> None:
    more = {"stream_options": {"include_usage": True}} if wanted else {}
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True, **more))
    assert heard.is_done and heard.text == "one two three"
    assert upstream.call.json["stream_options"] == {"include_usage": True}
    bare = [event for event in heard.events if event != "[DONE]" and not event["choices"]]
    assert len(bare) == wanted
    if wanted:
        assert heard.usage and heard.usage["total_tokens"] == INPUT_TOKENS + OUTPUT_TOKENS
    row = daemon.row(heard.id)
    assert (row["input_tokens"], row["output_tokens"]) == (INPUT_TOKENS, OUTPUT_TOKENS)
    assert (row["cost_picousd"], row["cost_basis"]) == (COST_PICOUSD, "exact")


def test_bytes_leave_as_they_come(daemon: Daemon, upstream: Upstream) -> None:
    upstream.script = lambda seen: event_stream(chunk("first"), STALL)
    with Caller(daemon.port) as caller:
        caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
        assert b"first" in caller.read_until(b"first", seconds=12)
        head = caller.heard.partition(b"\r\n\r\n")[0].lower()
    assert b"cache-control: no-cache" in head and b"x-accel-buffering: no" in head
    assert b"content-encoding" not in head


@pytest.mark.seconds(60)
def test_a_ping_goes_out_after_fifteen_seconds_of_silence(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url, timeout_seconds=40))
    upstream.script = lambda seen: event_stream(17.0, *streamed().steps)
    heard = ask(daemon.url, daemon.add_token(), chat(MODEL, stream=True), timeout=40)
    assert heard.body.startswith(b": ping\n\n")
    assert heard.text == "one two three" and heard.is_done


def test_a_line_of_ten_megabytes_passes_whole(daemon: Daemon, upstream: Upstream) -> None:
    long = "x" * 10_000_000
    upstream.script = lambda seen: streamed([long])
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.text == long and heard.is_done
    assert daemon.row(heard.id)["output_tokens"] == OUTPUT_TOKENS


def test_odd_but_legal_events_are_understood(daemon: Daemon, upstream: Upstream) -> None:
    body = b"\xef\xbb\xbf" + b"".join(piece for piece in streamed().steps if isinstance(piece, bytes))
    crlf = body.replace(b"\n", b"\r\n").replace(b"data: ", b"data:").replace(b"\r\n\r\n", b"\r\n: hm\r\n\r\n")
    upstream.script = lambda seen: event_stream(*[crlf[n : n + 1] for n in range(len(crlf))])
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.text == "one two three" and heard.is_done
    assert daemon.row(heard.id)["cost_picousd"] == COST_PICOUSD


def test_a_gzipped_stream_is_read_all_the_same(daemon: Daemon, upstream: Upstream) -> None:
    body = gzip.compress(b"".join(piece for piece in streamed().steps if isinstance(piece, bytes)))
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    upstream.script = lambda seen: Answer([body], headers=headers)
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.text == "one two three" and heard.is_done
    assert upstream.call.headers["accept-encoding"] == "identity"


def test_a_gzipped_stream_that_turns_to_nonsense_ends_with_one_error(
    daemon: Daemon, upstream: Upstream
) -> None:
    packer = zlib.compressobj(wbits=31)
    words = [packer.compress(chunk(word)) + packer.flush(zlib.Z_SYNC_FLUSH) for word in ("one ", "two ")]
    # The pauses let each piece come by itself, so that the last one meets a stream that is being pushed.
    steps = [words[0], 0.1, words[1], 0.1, b"\xff" * 50, STALL]
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    upstream.script = lambda seen: Answer(steps, headers=headers)
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.text == "one two " and not heard.is_done
    assert heard.error and heard.error["code"] == "upstream_error"
    upstream.call.wait_closed()
    assert daemon.row(heard.id)["status"] == "error"


def test_an_event_that_is_no_json_passes_and_the_books_hold(daemon: Daemon, upstream: Upstream) -> None:
    upstream.script = lambda seen: event_stream(chunk("half "), b"data: {broken\n\n", usage_chunk(), DONE)
    with Caller(daemon.port) as caller:
        caller.send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
        heard = caller.read_until(b"0\r\n\r\n")
    assert b"half " in heard and (b"data: {broken\n\n" in heard or b'"error"' in heard)
    assert daemon.wait_for_rows(1)[0]["status"] in ("ok", "error")


def test_usage_before_the_break_counts_as_the_providers(daemon: Daemon, upstream: Upstream) -> None:
    upstream.script = lambda seen: event_stream(chunk("half ", finish="stop"), usage_chunk(), CUT)
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    row = daemon.row(heard.id)
    assert (row["output_tokens"], row["usage_basis"]) == (OUTPUT_TOKENS, "provider")


def test_a_stream_asked_for_and_answered_whole_still_makes_sense(daemon: Daemon, upstream: Upstream) -> None:
    message = {"role": "assistant", "content": "whole"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream.script = lambda seen: Answer([json.dumps(body).encode()], framing="length")
    heard = ask(daemon.url, daemon.secrets[-1], chat(MODEL, stream=True))
    assert heard.status == 502 or heard.error or (heard.text == "whole" and heard.is_done)
