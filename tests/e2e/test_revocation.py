"""A revoked access token opens nothing more, and what runs under it is cut."""

import itertools
import threading
import time

from tests.support.clients import Caller, Heard, ask, chat
from tests.support.daemon import Serve
from tests.support.openai_shape import MODEL, chunk, settings
from tests.support.scripted import STALL, Answer, Upstream


def test_a_running_stream_is_cut_and_no_other(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret, other = daemon.add_token("lost"), daemon.add_token("kept")
    words = itertools.cycle((chunk("word "), 0.02))
    upstream.script = lambda seen: Answer(words, headers={"content-type": "text/event-stream"})
    with Caller(daemon.port) as lost, Caller(daemon.port) as kept:
        lost.send(chat(MODEL, stream=True), secret=secret).read_until(b"word")
        kept.send(chat(MODEL, stream=True), secret=other).read_until(b"word")
        assert daemon.run("tokens", "revoke", "lost").returncode == 0
        # The provider would go on for ever: nothing but the revocation ends it.
        heard = lost.read_until(b"0\r\n\r\n")
        upstream.calls[0].wait_closed()
        assert b'"error"' in heard and b"[DONE]" not in heard
        kept.heard = b""
        kept.read_until(b"word")
    assert ask(daemon.url, secret, chat(MODEL)).status == 401
    rows = {row["token_id"]: row for row in daemon.wait_for_rows(2)}
    row = min(rows.values(), key=lambda row: row["finished_at"])
    assert row["status"] in ("cancelled", "error") and row["output_tokens"] > 0
    assert row["cost_picousd"] > 0


def test_a_whole_answer_under_way_is_cut_too(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token("lost")
    upstream.script = lambda seen: Answer(before_headers=[STALL])
    got: list[Heard] = []
    client = threading.Thread(target=lambda: got.append(ask(daemon.url, secret, chat(MODEL))))
    client.start()
    call = upstream.wait_for_calls()[0]
    assert daemon.run("tokens", "revoke", "lost").returncode == 0
    call.wait_closed()
    client.join(20)
    assert got[0].status == 401
    daemon.wait_for_rows(1)


def test_a_rotated_token_works_until_its_grace_ends(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    old = daemon.add_token("phone")
    new = daemon.json("tokens", "rotate", "phone", "--grace", "4s")["secret"]
    assert {ask(daemon.url, secret, chat(MODEL)).status for secret in (old, new)} == {200}
    time.sleep(4.2)
    assert ask(daemon.url, old, chat(MODEL)).status == 401
    assert ask(daemon.url, new, chat(MODEL)).status == 200
