"""The next route is taken before the first byte, and only then."""

import pytest

from tests.support.clients import ask, chat
from tests.support.daemon import Serve
from tests.support.openai_shape import PRICE, chunk, fitting, provider, refusal
from tests.support.ports import free_port
from tests.support.scripted import (
    CUT,
    STALL,
    Answer,
    Script,
    Upstream,
    event_stream,
    json_answer,
)

_BROKEN: dict[str, Script] = {
    "429": refusal(429, "slow down", retry_after="7"),
    "500": refusal(500),
    "502": refusal(502),
    "503": refusal(503),
    "529": refusal(529),
    "cut before the status line": lambda seen: Answer(before_headers=[0.1, CUT]),
    "silent before the status line": lambda seen: Answer(before_headers=[STALL]),
    "not HTTP at all": lambda seen: Answer(before_headers=[b"SSH-2.0-OpenSSH_9.2\r\n\r\n", CUT]),
}


def _two_routes(first: str, second: str) -> dict[str, object]:
    return {
        "providers": {"one": provider(first, timeout_seconds=2), "two": provider(second)},
        "models": {"either": {"routes": ["one/fixed", "two/fixed"]}},
        "prices": {"overrides": [PRICE]},
    }


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", list(_BROKEN))
def test_a_broken_first_route_gives_way(serve: Serve, upstream: Upstream, how: str, stream: bool) -> None:
    with Upstream(_BROKEN[how]) as broken:
        # Asked for its models, it hangs up: the call finds no connection whose end could be a coincidence.
        broken.lists["/v1/models"] = json_answer({"data": []}, connection="close")
        daemon = serve(_two_routes(broken.url, upstream.url))
        heard = ask(daemon.url, daemon.add_token(), chat("either", stream=stream))
        assert (heard.status, heard.text) == (200, "one two three")
        assert heard.headers["x-chatvault-route"] == "two/fixed"
        assert len(broken.calls) == len(upstream.calls) == 1
        row = daemon.row(heard.id)
        assert (row["provider"], row["model_name"], row["status"]) == ("two", "either", "ok")
        body = daemon.query("SELECT body FROM audit WHERE request_id = ?", heard.id)[0]["body"]
        assert "one/fixed" in body and "two/fixed" in body
        assert daemon.json("audit", "verify", "--full")["ok"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_unreachable_first_route_gives_way(serve: Serve, upstream: Upstream, stream: bool) -> None:
    daemon = serve(_two_routes(f"http://127.0.0.1:{free_port()}", upstream.url))
    assert ask(daemon.url, daemon.add_token(), chat("either", stream=stream)).text == "one two three"


def test_a_refusal_of_the_request_itself_does_not_give_way(serve: Serve, upstream: Upstream) -> None:
    with Upstream(refusal(400, "the prompt is too long")) as first:
        daemon = serve(_two_routes(first.url, upstream.url))
        heard = ask(daemon.url, daemon.add_token(), chat("either"))
        assert heard.status == 400
        assert "the prompt is too long" in heard.json["error"]["message"]
        assert upstream.calls == []


def test_after_the_first_byte_nothing_is_tried_again(serve: Serve, upstream: Upstream) -> None:
    with Upstream(lambda seen: event_stream(chunk("half "), CUT)) as first:
        daemon = serve(_two_routes(first.url, upstream.url))
        heard = ask(daemon.url, daemon.add_token(), chat("either", stream=True))
        assert heard.text == "half " and heard.error and not heard.is_done
        assert upstream.calls == []


def test_when_no_route_answers_the_last_error_is_told(serve: Serve) -> None:
    with Upstream(refusal(503)) as first, Upstream(refusal(429, "slow down", retry_after="7")) as second:
        daemon = serve(_two_routes(first.url, second.url))
        heard = ask(daemon.url, daemon.add_token(), chat("either"))
        assert heard.status in (429, 503)
        row = daemon.row(heard.id)
        assert row["status"] == "error" and row["http_status"] == heard.status


def test_a_single_route_passes_retry_after_on(serve: Serve, upstream: Upstream) -> None:
    upstream.script = refusal(429, "slow down", retry_after="7")
    daemon = serve(_two_routes(upstream.url, upstream.url))
    heard = ask(daemon.url, daemon.add_token(), chat("one/fixed"))
    assert (heard.status, heard.headers["retry-after"]) == (429, "7")
    assert heard.json["error"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize("status", [401, 403])
def test_what_a_provider_says_of_our_key_stays_here(serve: Serve, upstream: Upstream, status: int) -> None:
    upstream.script = refusal(status, "Incorrect API key provided: sk-upst****7b")
    daemon = serve(_two_routes(upstream.url, upstream.url))
    heard = ask(daemon.url, daemon.add_token(), chat("one/fixed"))
    assert (heard.status, heard.json["error"]["code"]) == (502, "upstream_auth")
    assert b"sk-upst" not in heard.body
    upstream.script = fitting
    assert ask(daemon.url, daemon.secrets[-1], chat("one/fixed")).status == 200
