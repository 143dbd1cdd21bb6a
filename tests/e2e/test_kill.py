"""The program, killed at random moments under load, loses no request that reached the provider."""

import itertools
import random
import threading
import time
from collections import Counter

import httpx
import pytest

from tests.support.clients import ask, chat, new_client
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import COST_PICOUSD, settings, streamed, whole
from tests.support.scripted import Answer as ScriptedAnswer
from tests.support.scripted import Seen, Upstream

_CLIENTS = 8
_NAMES = 4000
_MAX_TOKENS = 50


def _answer(seen: Seen) -> ScriptedAnswer:
    return streamed(pause=0.004) if seen.json.get("stream") else whole()


class _Load:
    """Clients that ask without a pause, each time under an alias that no other request of the run uses."""

    def __init__(self, daemon: Daemon, secret: str, names: "itertools.count[int]") -> None:
        self.answered: list[str] = []
        self._daemon, self._secret, self._names = daemon, secret, names
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(_CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with new_client() as client:
            while not self._is_over.is_set():
                self._ask_once(client)

    def _ask_once(self, client: httpx.Client) -> None:
        number = next(self._names)
        name = f"m-{number % _NAMES}"
        body = chat(name, name, stream=number % 2 == 0, max_tokens=_MAX_TOKENS)
        try:
            heard = ask(self._daemon.url, self._secret, body, timeout=5, client=client)
        except httpx.HTTPError:
            return
        assert heard.status == 200, heard.body
        self.answered.append(name)

    def end(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(15)


@pytest.mark.full
@pytest.mark.seconds(1500)
def test_killed_under_load(serve: Serve, upstream: Upstream, is_full: bool) -> None:
    chance = random.Random(time.time_ns())
    upstream.script = _answer
    config = settings(upstream.url)
    config["models"] = {f"m-{n}": {"routes": ["mock/fixed"]} for n in range(_NAMES)}
    daemon = serve(config)
    secret = daemon.add_token()
    names = itertools.count()
    reached = interrupted = 0
    for _ in range(200 if is_full else 12):
        newest = max(
            (row["id"] for row in daemon.query("SELECT max(id) AS id FROM ledger") if row["id"]), default=""
        )
        upstream.forget()
        load = _Load(daemon, secret, names)
        time.sleep(chance.uniform(0.02, 0.6))
        daemon.kill()
        load.end()
        asked = Counter(seen.json["messages"][0]["content"] for seen in upstream.calls)
        daemon.start()

        rows = daemon.query("SELECT * FROM ledger WHERE id > ?", newest)
        written = Counter(row["model_name"] for row in rows)
        assert daemon.query("SELECT * FROM hold") == []
        assert max(asked.values(), default=1) == 1
        for name in asked.keys() | set(load.answered):
            assert written[name] == 1, f"{name} reached the provider and has {written[name]} rows"
        assert max(written.values(), default=1) == 1
        for row in rows:
            if row["status"] == "interrupted":
                assert row["cost_basis"] == "upper_bound" and row["cost_picousd"] >= _MAX_TOKENS * 2_000_000
            elif row["status"] == "ok":
                assert (row["cost_basis"], row["cost_picousd"]) == ("exact", COST_PICOUSD)
        verdict = daemon.json("audit", "verify", "--full")
        assert verdict["ok"], verdict
        reached += len(asked)
        interrupted += sum(row["status"] == "interrupted" for row in rows)
    assert reached > 0 and interrupted > 0, "the kills came too early or too late to prove anything"
    print(f"{reached} requests reached the provider, {interrupted} were interrupted")


def test_killed_while_nothing_runs(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    assert ask(daemon.url, secret, chat("mock/fixed")).status == 200
    before = daemon.wait_for_rows(1)
    daemon.kill()
    daemon.start()
    assert daemon.ledger() == before
    assert ask(daemon.url, secret, chat("mock/fixed")).status == 200


def test_a_polite_stop_lets_running_answers_finish(serve: Serve, upstream: Upstream) -> None:
    upstream.script = lambda seen: streamed(["word "] * 40, pause=0.02)
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    texts: list[str] = []
    client = threading.Thread(
        target=lambda: texts.append(ask(daemon.url, secret, chat("mock/fixed", stream=True)).text)
    )
    client.start()
    upstream.wait_for_calls()
    daemon.stop()
    client.join(10)
    assert texts == ["word " * 40]
    assert [row["status"] for row in daemon.ledger()] == ["ok"]
