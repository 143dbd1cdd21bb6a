"""The scripted provider does what its script says: else the tests that rest on it would prove nothing."""

import time

import httpx
import pytest

from tests.support.clients import Caller
from tests.support.ports import free_port
from tests.support.scripted import (
    CUT,
    STALL,
    Answer,
    Upstream,
    event_stream,
    json_answer,
    zipped,
)


def test_it_answers_and_remembers_what_it_was_asked() -> None:
    with Upstream(lambda seen: json_answer({"echo": seen.json["n"]})) as upstream:
        with httpx.Client(base_url=upstream.url) as client:
            answers = [client.post("/v1/x", json={"n": n}).json()["echo"] for n in range(3)]
        assert answers == [0, 1, 2]
        assert [seen.json["n"] for seen in upstream.calls] == [0, 1, 2]
        assert all(seen.is_answered and not seen.closed.is_set() for seen in upstream.calls)


def test_it_notices_at_once_who_leaves() -> None:
    with (
        Upstream(lambda seen: event_stream(b"data: 1\n\n", STALL)) as upstream,
        Caller(upstream.port) as caller,
    ):
        caller.send(b"{}").read_until(b"data: 1")
        left = caller.leave()
        assert upstream.call.wait_closed() - left < 5


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_every_framing_arrives_whole(framing: str) -> None:
    with Upstream(lambda seen: Answer([b"one ", b"two"], framing=framing)) as upstream:  # type: ignore[arg-type]
        assert httpx.post(upstream.url, content=b"{}").text == "one two"


def test_a_cut_answer_breaks_off_in_the_middle() -> None:
    script = event_stream(b"data: 1\n\n", CUT)
    with Upstream(lambda seen: script) as upstream, pytest.raises(httpx.HTTPError):
        httpx.post(upstream.url, content=b"{}")


def test_silence_before_the_headers_is_silence() -> None:
    with Upstream(lambda seen: Answer(before_headers=[STALL])) as upstream:
        begun = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(upstream.url, content=b"{}", timeout=0.2)
        assert time.monotonic() - begun < 5


def test_a_gzipped_answer_is_gzipped() -> None:
    with Upstream(lambda seen: zipped(b'{"a":1}')) as upstream:
        reply = httpx.post(upstream.url, content=b"{}")
        assert reply.headers["content-encoding"] == "gzip"
        assert reply.json() == {"a": 1}


def test_nothing_listens_at_a_closed_port() -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{free_port()}")
