"""Many at once: everyone gets their own answer, and nobody more than their place."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import Caller, Heard, ask, chat
from tests.support.daemon import Serve
from tests.support.openai_shape import DONE, MODEL, chunk, settings, streamed, usage_chunk, whole
from tests.support.scripted import STALL, Answer, Seen, Step, Upstream, event_stream


def _echo(seen: Seen) -> Answer:
    text = seen.json["messages"][0]["content"]
    if not seen.json.get("stream"):
        return whole(text)
    steps: list[Step] = []
    for letter in text:
        steps += [chunk(letter), 0.001]
    return event_stream(*steps, chunk(finish="stop"), usage_chunk(), DONE)


@pytest.mark.full
@pytest.mark.parametrize("stream", [True, False])
def test_everyone_gets_their_own_answer(
    serve: Serve, upstream: Upstream, stream: bool, is_full: bool
) -> None:
    upstream.script = _echo
    daemon = serve(settings(upstream.url))
    secrets = [daemon.add_token(f"device-{n}", "--user", f"user-{n}") for n in range(4)]
    count = 2000 if is_full else 200

    def one(number: int) -> Heard:
        text = f"words of number {number}, told as they came"
        heard = ask(daemon.url, secrets[number % 4], chat(MODEL, text, stream=stream))
        assert (heard.status, heard.text) == (200, text)
        return heard

    with ThreadPoolExecutor(32) as crowd:
        answers = list(crowd.map(one, range(count)))
    assert len({heard.id for heard in answers}) == count
    rows = {row["id"]: row for row in daemon.wait_for_rows(count)}
    for number, heard in enumerate(answers):
        assert rows[heard.id]["user_id"] == f"user-{number % 4}"
    report = daemon.json("usage", "--since", "1d", "--by", "token")
    assert [row["requests"] for row in report["rows"]] == [count // 4] * 4
    assert daemon.json("audit", "verify", "--full")["ok"]


def test_who_finds_no_place_is_told_when_to_come_back(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url, max_concurrency=1, queue_seconds=0.3))
    secret = daemon.add_token()
    upstream.script = lambda seen: event_stream(chunk("first"), STALL)
    with Caller(daemon.port) as first:
        first.send(chat(MODEL, stream=True), secret=secret).read_until(b"first")
        heard = ask(daemon.url, secret, chat(MODEL))
        assert (heard.status, heard.json["error"]["code"]) == (503, "overloaded")
        assert int(heard.headers["retry-after"]) >= 1
        assert len(upstream.calls) == 1
    row = daemon.row(heard.id)
    assert (row["status"], row["cost_picousd"]) == ("refused", 0)


def test_who_waits_gets_the_place_that_comes_free(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url, max_concurrency=2, queue_seconds=60))
    secret = daemon.add_token()
    most, now, lock = 0, 0, threading.Lock()

    def slow(seen: Seen) -> Answer:
        nonlocal most, now
        with lock:
            now += 1
            most = max(most, now)

        def steps() -> Iterator[Step]:
            nonlocal now
            yield from (chunk("a"), 0.05, chunk(finish="stop"), usage_chunk(), DONE)
            with lock:
                now -= 1

        return Answer(steps(), headers={"content-type": "text/event-stream"})

    upstream.script = slow
    with ThreadPoolExecutor(10) as crowd:
        answers = list(crowd.map(lambda _: ask(daemon.url, secret, chat(MODEL, stream=True)), range(10)))
    assert {heard.text for heard in answers} == {"a"}
    assert most == 2


def test_a_slow_reader_holds_up_nobody_else(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    upstream.script = lambda seen: streamed(["x" * 100_000] * (200 if len(upstream.calls) == 1 else 1))
    with Caller(daemon.port) as slow:
        slow.send(chat(MODEL, stream=True), secret=secret).read_until(b"xxx")
        for _ in range(5):
            assert len(ask(daemon.url, secret, chat(MODEL, stream=True)).text) == 100_000
        time.sleep(0.2)
        whole_answer = slow.read_until(b"data: [DONE]", seconds=20)
    assert whole_answer.count(b"x") >= 200 * 100_000
