"""Faults of a provider, each against the running program: what the client gets, and what the books say.

After each one the invariants hold: every request once, the chain verifies, the ledger's sum is what the
provider billed, no hold is left.
"""

import gzip
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.clients import ask, chat
from tests.support.daemon import Daemon
from tests.support.invariants import Books
from tests.support.openai_shape import (
    COST_PICOUSD,
    DONE,
    MODEL,
    UPSTREAM_KEY,
    USAGE,
    chunk,
    fitting,
    provider,
    refusal,
    settings,
    streamed,
    usage_chunk,
    whole,
)
from tests.support.ports import free_port
from tests.support.scripted import (
    CUT,
    STALL,
    Answer,
    Script,
    Step,
    Upstream,
    data,
    event_stream,
    json_answer,
    zipped,
)


@dataclass(frozen=True)
class Expected:
    """What has to come of a fault: the client's status, the row, and what the provider bills."""

    http: int
    status: str
    code: str | None = None
    billed: int = 0
    is_complete: bool = False


_SSE = {"content-type": "text/event-stream"}
_OK = Expected(200, "ok", billed=COST_PICOUSD, is_complete=True)
_COMMENTS: list[Step] = [b": keep-alive\n\n", 0.1]


def _always(answer: Answer) -> Script:
    return lambda seen: answer


def _endless(*first: bytes) -> Script:
    return lambda seen: Answer(itertools.chain(first, itertools.cycle(_COMMENTS)), headers=_SSE)


def _with_usage(usage: Any) -> Script:
    body = json.loads(b"".join(step for step in whole().steps if isinstance(step, bytes)))
    if usage is None:
        del body["usage"]
    else:
        body["usage"] = usage
    return _always(json_answer(body))


def _raw(*steps: Step) -> Script:
    return _always(Answer(before_headers=[*steps, CUT]))


_STREAM_BODY = b"".join(step for step in streamed().steps if isinstance(step, bytes))
_BOMB = gzip.compress(b" " * (80 << 20), 1)

WHOLE: dict[str, tuple[Script, Expected]] = {
    "hangs up before it answers": (_raw(), Expected(502, "error", "upstream_error")),
    "is silent": (_always(Answer(before_headers=[STALL])), Expected(504, "error", "upstream_timeout")),
    "falls silent in the body": (
        _always(Answer([b'{"id": ', STALL])),
        Expected(504, "error", "upstream_timeout"),
    ),
    "hangs up in the body": (_always(Answer([b'{"id": ', CUT])), Expected(502, "error", "upstream_error")),
    "promises a longer body": (
        _raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{}"),
        Expected(502, "error", "upstream_error"),
    ),
    "speaks no HTTP": (_raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Expected(502, "error", "upstream_error")),
    "has headers without an end": (
        _raw(b"HTTP/1.1 200 OK\r\n", *[b"x-pad: " + b"a" * 8000 + b"\r\n"] * 100),
        Expected(502, "error", "upstream_error"),
    ),
    "answers with HTML": (
        _always(Answer([b"<html>it works</html>"], framing="length")),
        Expected(502, "error", "upstream_error"),
    ),
    "answers with half a JSON": (
        _always(Answer([b'{"choices": [{"ind'], framing="length")),
        Expected(502, "error", "upstream_error"),
    ),
    "answers with nothing": (
        _always(Answer([b""], framing="length")),
        Expected(502, "error", "upstream_error"),
    ),
    "answers 500": (refusal(500), Expected(502, "error", "upstream_error")),
    "answers 503": (refusal(503), Expected(503, "error", "overloaded")),
    "answers 529": (refusal(529), Expected(503, "error", "overloaded")),
    "answers 429": (refusal(429, retry_after="7"), Expected(429, "error", "rate_limit_exceeded")),
    "refuses our key": (refusal(401, f"bad key {UPSTREAM_KEY}"), Expected(502, "error", "upstream_auth")),
    "forbids our key": (refusal(403), Expected(502, "error", "upstream_auth")),
    "refuses the request": (refusal(400), Expected(400, "error")),
    "points elsewhere": (
        _always(Answer([], 302, {"location": "http://127.0.0.1:1/"}, "length")),
        Expected(502, "error", "upstream_error"),
    ),
    "zips unasked": (
        _always(zipped(b"".join(step for step in whole().steps if isinstance(step, bytes)))),
        _OK,
    ),
    "zips badly": (
        _always(Answer([b"\x1f\x8b\x08nonsense"], headers={"content-encoding": "gzip"})),
        Expected(502, "error", "upstream_error"),
    ),
    "sends a bomb": (
        _always(Answer([_BOMB], headers={"content-encoding": "gzip"})),
        Expected(502, "error", "upstream_error"),
    ),
    "tells no usage": (_with_usage(None), Expected(200, "ok", is_complete=True)),
    "tells a usage below zero": (
        _with_usage({**USAGE, "prompt_tokens": -5}),
        Expected(200, "ok", is_complete=True),
    ),
    "tells a usage in words": (
        _with_usage({**USAGE, "completion_tokens": "many"}),
        Expected(200, "ok", is_complete=True),
    ),
    "tells a usage beyond all bounds": (
        _with_usage({**USAGE, "completion_tokens": 10**30}),
        Expected(200, "ok", is_complete=True),
    ),
}

STREAMED: dict[str, tuple[Script, Expected]] = {
    "hangs up before the first event": (_always(event_stream(CUT)), Expected(502, "error", "upstream_error")),
    "hangs up in the middle": (
        _always(event_stream(chunk("half "), CUT)),
        Expected(200, "error", "upstream_error"),
    ),
    "hangs up in an event": (
        _always(event_stream(chunk("half "), b'data: {"id": "x", "cho', CUT)),
        Expected(200, "error", "upstream_error"),
    ),
    "falls silent": (
        _always(event_stream(chunk("half "), STALL)),
        Expected(200, "error", "upstream_timeout"),
    ),
    "comments for ever": (_endless(), Expected(504, "error", "upstream_timeout")),
    "comments for ever in the middle": (
        _endless(chunk("half ")),
        Expected(200, "error", "upstream_timeout"),
    ),
    "says that it failed": (
        _always(event_stream(chunk("half "), data({"error": {"message": "crashed"}}))),
        Expected(200, "error", "upstream_error"),
    ),
    "ends without [DONE]": (
        _always(event_stream(chunk("half "))),
        Expected(200, "error", "upstream_error"),
    ),
    "sends a line of 10 MB": (_always(streamed(["x" * 10_000_000])), _OK),
    "sends a line without an end": (
        _always(event_stream(chunk("half "), *[b"x" * 1_000_000] * 40, CUT)),
        Expected(200, "error", "upstream_error"),
    ),
    "sends garbage": (
        _always(event_stream(b"\x00\xff\xfe" * 1000, CUT)),
        Expected(502, "error", "upstream_error"),
    ),
    "sends it byte by byte": (
        _always(event_stream(*[_STREAM_BODY[at : at + 1] for at in range(len(_STREAM_BODY))])),
        _OK,
    ),
    "ends its lines as Windows does": (
        _always(event_stream(b"\xef\xbb\xbf" + _STREAM_BODY.replace(b"\n", b"\r\n"))),
        _OK,
    ),
    "zips the stream unasked": (
        _always(Answer([gzip.compress(_STREAM_BODY)], headers={**_SSE, "content-encoding": "gzip"})),
        _OK,
    ),
    "tells the usage, then hangs up": (
        _always(event_stream(chunk("half ", finish="stop"), usage_chunk(), CUT)),
        Expected(200, "error", "upstream_error", billed=COST_PICOUSD),
    ),
    "tells the usage twice": (
        _always(event_stream(chunk("half "), usage_chunk(), chunk(finish="stop"), usage_chunk(), DONE)),
        _OK,
    ),
    "goes on after [DONE]": (_always(event_stream(_STREAM_BODY, chunk("more"), CUT)), _OK),
    "answers 500 to a stream": (refusal(500), Expected(502, "error", "upstream_error")),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(fitting) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def books(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    """One daemon for all faults: what one leaves behind, the next would trip over."""
    home: Path = tmp_path_factory.mktemp("faults")
    config = settings(upstream.url, timeout_seconds=2)
    config["providers"]["dead"] = provider(f"http://127.0.0.1:{free_port()}", timeout_seconds=2)
    config["prices"]["overrides"].append({"model": "gone", "per_mtok": {"input": 1, "output": 2}})
    with Daemon(home / "home", config, secrets=[UPSTREAM_KEY]).start() as daemon:
        daemon.add_token()
        yield Books(daemon)


def _meet(books: Books, body: Any, expected: Expected, *, is_stream: bool) -> None:
    daemon = books.daemon
    heard = ask(daemon.url, daemon.secrets[-1], body, timeout=20)
    books.ids.append(heard.id)
    books.billed_picousd += expected.billed
    row = daemon.row(heard.id)
    assert (heard.status, row["status"]) == (expected.http, expected.status), heard.body[:500]
    if expected.code is not None:
        assert row["error_code"] == expected.code
        assert (heard.error or {}).get("code") == expected.code
    if is_stream and expected.http == 200:
        assert heard.is_done == expected.is_complete
        assert (heard.error is None) == expected.is_complete
    assert UPSTREAM_KEY.encode() not in heard.body
    books.check()


@pytest.mark.parametrize("fault", list(WHOLE))
def test_a_provider_that(books: Books, upstream: Upstream, fault: str) -> None:
    upstream.script, expected = WHOLE[fault]
    _meet(books, chat(MODEL, max_tokens=50), expected, is_stream=False)


@pytest.mark.parametrize("fault", list(STREAMED))
def test_a_stream_that(books: Books, upstream: Upstream, fault: str) -> None:
    upstream.script, expected = STREAMED[fault]
    _meet(books, chat(MODEL, stream=True, max_tokens=50), expected, is_stream=True)


def test_a_provider_that_is_not_there(books: Books) -> None:
    _meet(books, chat("dead/gone"), Expected(502, "error", "upstream_error"), is_stream=False)


def test_after_all_of_them_an_ordinary_request_is_answered(books: Books, upstream: Upstream) -> None:
    upstream.script = fitting
    for is_stream in (True, False):
        _meet(books, chat(MODEL, stream=is_stream), _OK, is_stream=is_stream)


def test_a_provider_that_is_not_there_is_named_and_its_address_is_not(books: Books) -> None:
    daemon = books.daemon
    heard = ask(daemon.url, daemon.secrets[-1], chat("dead/gone", max_tokens=50), timeout=20)
    books.ids.append(heard.id)

    assert (heard.status, (heard.error or {})["message"]) == (502, "dead: connection refused")
    assert "127.0.0.1" not in heard.body.decode()
    daemon.wait_for_log("connection refused")
    daemon.wait_for_log("127.0.0.1:")
    books.check()
