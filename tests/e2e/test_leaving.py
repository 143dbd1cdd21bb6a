"""A client that leaves ends the upstream call at once, at any moment, and pays for what was produced."""

import random
import time

import pytest

from tests.support.clients import Caller, ask, chat
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import DONE, MODEL, chunk, settings, streamed, usage_chunk
from tests.support.scripted import STALL, Answer, Upstream, event_stream


@pytest.fixture
def daemon(serve: Serve, upstream: Upstream) -> Daemon:
    return serve(settings(upstream.url))


def _leave(daemon: Daemon, upstream: Upstream, *, stream: bool, hearing: bytes = b"") -> dict[str, object]:
    """Ask, leave after `hearing` (or once the provider has the call), and return the ledger row."""
    upstream.forget()
    known = {row["id"] for row in daemon.ledger()}
    caller = Caller(daemon.port).send(chat(MODEL, stream=stream), secret=daemon.secrets[-1])
    call = upstream.wait_for_calls()[0]
    if hearing:
        caller.read_until(hearing)
    else:
        time.sleep(0.05)
    left = caller.leave()
    # The daemon would wait for 30 s of silence: what ends the call before is the leaving alone.
    assert call.wait_closed() - left < 5
    rows = daemon.wait_for_rows(len(known) + 1)
    return next(row for row in rows if row["id"] not in known)


@pytest.mark.parametrize("stream", [True, False])
def test_before_the_provider_has_said_anything(daemon: Daemon, upstream: Upstream, stream: bool) -> None:
    daemon.add_token()
    upstream.script = lambda seen: Answer(before_headers=[STALL])
    row = _leave(daemon, upstream, stream=stream)
    # Of a stream it is known that nothing came; of a whole answer nothing is known.
    known = 0 if stream else None
    assert (row["status"], row["http_status"], row["output_tokens"]) == ("cancelled", 499, known)
    assert row["usage_basis"] == "estimated" and row["input_tokens"]
    assert row["cost_basis"] == "upper_bound" and row["cost_picousd"]


@pytest.mark.parametrize("stream", [True, False])
def test_before_the_first_token(daemon: Daemon, upstream: Upstream, stream: bool) -> None:
    daemon.add_token()
    upstream.script = lambda seen: event_stream(b": keep-alive\n\n", STALL)
    row = _leave(daemon, upstream, stream=stream)
    assert (row["status"], row["http_status"]) == ("cancelled", 499)


def test_in_the_middle_pays_for_what_came(daemon: Daemon, upstream: Upstream) -> None:
    daemon.add_token()
    words = [chunk(f"word{n} ") for n in range(20)]
    upstream.script = lambda seen: event_stream(*words, STALL)
    row = _leave(daemon, upstream, stream=True, hearing=b"word19")
    assert row["status"] == "cancelled" and row["usage_basis"] == "estimated"
    assert row["output_tokens"] >= 20
    # Tokens are a guess at what was seen; the cost is a bound, for a budget must not be overshot by leaving.
    assert row["cost_basis"] == "upper_bound"
    assert row["cost_picousd"] >= row["input_tokens"] * 1_000_000 + row["output_tokens"] * 2_000_000


@pytest.mark.full
@pytest.mark.seconds(600)
def test_at_any_moment(daemon: Daemon, upstream: Upstream, is_full: bool) -> None:
    daemon.add_token()
    chance = random.Random(4)
    words = [step for _ in range(40) for step in (chunk("word "), 0.005)]
    rounds = 300 if is_full else 30
    reached = 0
    for number in range(rounds):
        # Every other answer never ends: whoever leaves one has it closed, or it would stay open for good.
        is_endless = number % 2 == 0
        ending = (STALL,) if is_endless else (chunk(finish="stop"), usage_chunk(), DONE)
        upstream.script = lambda seen, ending=ending: event_stream(*words, *ending)
        upstream.forget()
        caller = Caller(daemon.port).send(chat(MODEL, stream=True), secret=daemon.secrets[-1])
        time.sleep(chance.uniform(0, 0.4))
        left = caller.leave()
        time.sleep(0.05)
        for call in upstream.calls:
            if is_endless:
                assert call.wait_closed() - left < 5
            reached += 1
    rows = _settled(daemon)
    assert {row["status"] for row in rows} <= {"cancelled", "ok", "refused"}
    # A client may leave before its request is read: that makes a refused row, or none.
    assert reached <= len(rows) <= rounds
    assert sum(row["status"] == "cancelled" for row in rows) > rounds // 3
    assert daemon.json("audit", "verify", "--full")["ok"]


def _settled(daemon: Daemon) -> list[dict[str, object]]:
    deadline = time.monotonic() + 30
    while daemon.query("SELECT * FROM hold"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return daemon.ledger()


def test_a_client_that_left_leaves_its_place_to_the_next(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url, max_concurrency=1, queue_seconds=20))
    secret = daemon.add_token()
    upstream.script = lambda seen: Answer(before_headers=[STALL]) if len(upstream.calls) == 1 else streamed()
    caller = Caller(daemon.port).send(chat(MODEL, stream=True), secret=secret)
    upstream.wait_for_calls()
    caller.leave()
    assert ask(daemon.url, secret, chat(MODEL, stream=True)).text == "one two three"
