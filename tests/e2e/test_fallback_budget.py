"""A budget holds over fallbacks: what a silent first route may bill is covered before the second is asked."""

from typing import Any

import pytest

from tests.support.clients import Caller, ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.invariants import Books
from tests.support.openai_shape import fitting, provider, streamed
from tests.support.scripted import STALL, Answer, Upstream

_MAX_TOKENS = 1000
_PRICE = {"model": "fixed", "per_mtok": {"input": 0, "output": 2}}
_CEILING = _MAX_TOKENS * 2_000_000
_USD = _CEILING / 10**12


def _settings(first: Upstream, second: Upstream, **limits: Any) -> dict[str, Any]:
    return {
        "providers": {"one": provider(first.url, timeout_seconds=2), "two": provider(second.url)},
        "models": {"either": {"routes": ["one/fixed", "two/fixed"]}},
        "prices": {"overrides": [_PRICE]},
        "limits": limits,
    }


def _silent() -> Upstream:
    return Upstream(lambda seen: Answer(before_headers=[STALL]))


def _hold(daemon: Daemon) -> int:
    (row,) = daemon.query("SELECT ceiling_picousd FROM hold")
    return int(row["ceiling_picousd"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_for_one_route_is_not_overshot_by_two(
    serve: Serve, upstream: Upstream, stream: bool
) -> None:
    with _silent() as first:
        budget = {"usd": f"{_USD * 1.5:.6f}", "per": "total"}
        daemon = serve(_settings(first, upstream, budget=budget))
        secret = daemon.add_token()
        heard = ask(daemon.url, secret, chat("either", stream=stream, max_tokens=_MAX_TOKENS))
        assert (heard.status, heard.json["error"]["code"]) == (504, "upstream_timeout")
        assert len(first.calls) == 1 and not upstream.calls
        row = daemon.row(heard.id)
        assert (row["provider"], row["cost_picousd"]) == ("one", _CEILING)
        again = ask(daemon.url, secret, chat("either", stream=stream, max_tokens=_MAX_TOKENS))
        assert (again.status, again.json["error"]["code"]) == (429, "insufficient_quota")
        books = Books(daemon, [heard.id, again.id])
        assert sum(row["cost_picousd"] for row in books.check()) <= 1.5 * _CEILING


@pytest.mark.parametrize("stream", [False, True])
def test_a_budget_for_both_routes_lets_both_be_asked(serve: Serve, upstream: Upstream, stream: bool) -> None:
    holds: list[int] = []

    def look(seen: Any) -> Answer:
        # The provider has the request: the hold for it is on the disk.
        holds.append(_hold(daemon))
        return fitting(seen)

    with _silent() as first:
        budget = {"usd": f"{_USD * 2:.6f}", "per": "day"}
        daemon = serve(_settings(first, upstream, budget=budget))
        secret = daemon.add_token()
        upstream.script = look
        heard = ask(daemon.url, secret, chat("either", stream=stream, max_tokens=_MAX_TOKENS))
        assert (heard.status, heard.text) == (200, "one two three")
        assert len(first.calls) == len(upstream.calls) == 1
        assert holds == [2 * _CEILING]
        row = daemon.row(heard.id)
        # All that the first could write, and the seven tokens that the second counted.
        assert (row["provider"], row["cost_picousd"]) == ("two", _CEILING + 7 * 2_000_000)
        assert row["cost_basis"] == "upper_bound"
        Books(daemon, [heard.id]).check()


@pytest.mark.parametrize("stream", [False, True])
def test_killed_in_the_second_route_both_are_counted(serve: Serve, upstream: Upstream, stream: bool) -> None:
    with _silent() as first:
        daemon = serve(_settings(first, upstream))
        secret = daemon.add_token()
        words = ["word "] * 100
        upstream.script = lambda seen: streamed(words, pause=60) if stream else Answer(before_headers=[STALL])
        with Caller(daemon.port) as caller:
            caller.send(chat("either", stream=stream, max_tokens=_MAX_TOKENS), secret=secret)
            upstream.wait_for_calls(1, 30)
            daemon.kill()
        daemon.start()
        (row,) = daemon.ledger()
        assert (row["status"], row["cost_basis"]) == ("interrupted", "upper_bound")
        # Each of them may have billed all it could write.
        assert len(first.calls) == len(upstream.calls) == 1
        assert row["cost_picousd"] == 2 * _CEILING
        assert daemon.json("audit", "verify", "--full")["ok"]
