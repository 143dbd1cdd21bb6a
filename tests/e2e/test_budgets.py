"""A budget with room for 33 of a hundred requests at once lets 33 through, whatever happens to them then."""

import itertools
import random
import select
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import openai
import pytest

from chatvault.control.client import ControlClient
from tests.support.clients import Caller, ask, chat, official
from tests.support.daemon import Daemon, Row, Serve
from tests.support.openai_shape import DONE, MODEL, chunk, settings, streamed, usage_chunk, whole
from tests.support.scripted import CUT, Answer, Seen, Step, Upstream

_AT_ONCE, _ROOM = 100, 33
_MAX_TOKENS = 50
# Nothing in, two dollars a million out: 50 tokens may cost $0.0001, and the scripted answer's 7 cost this.
_PRICE = {"model": "fixed", "per_mtok": {"input": 0, "output": 2}}
_CEILING = _MAX_TOKENS * 2_000_000
_COST = 7 * 2_000_000


def _settings(url: str, **limits: Any) -> dict[str, Any]:
    return {**settings(url), "prices": {"overrides": [_PRICE]}, "limits": limits}


def _usd(picousd: int) -> str:
    return f"{picousd // 10**12}.{picousd % 10**12:012d}"


class _Provider:
    """Answer nobody before the gate is open; then finish, refuse or break off, as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.gate = threading.Event()
        self.billed = 0

    def __call__(self, seen: Seen) -> Answer:
        fate = self._chance.random()
        is_stream = bool(seen.json.get("stream"))
        if fate < 0.1:
            return Answer((), 500, before_headers=self._wait())
        if fate < 0.2:
            end: list[Step] = [chunk("one ") if is_stream else b'{"id":', CUT]
        else:
            end = (
                [chunk("one "), chunk(finish="stop"), usage_chunk(), DONE]
                if is_stream
                else list(whole().steps)
            )
        kind = "text/event-stream" if is_stream else "application/json"
        return Answer(self._steps(end), headers={"content-type": kind}, before_headers=self._wait())

    def _wait(self) -> Iterator[Step]:
        while not self.gate.is_set():
            yield 0.01

    def _steps(self, end: list[Step]) -> Iterator[Step]:
        yield from end
        if end[-1] is not CUT:
            self.billed += _COST


def _spent(daemon: Daemon, where: str = "1") -> int:
    (row,) = daemon.query(f"SELECT coalesce(sum(cost_picousd), 0) AS spent FROM ledger WHERE {where}")
    return int(row["spent"])


def _answered(callers: list[Caller], count: int) -> list[Caller]:
    """Wait until `count` of the callers have heard something, and return them."""
    deadline = time.monotonic() + 30
    while True:
        ready, _, _ = select.select([each.socket for each in callers], [], [], 0.05)
        if len(ready) >= count:
            return [each for each in callers if each.socket in ready]
        assert time.monotonic() < deadline, f"{len(ready)} of {count} answers"


def _limits(daemon: Daemon) -> list[dict[str, Any]]:
    """Return what the daemon says of its accounts that have limits."""
    answer = ControlClient(daemon.home / "run" / "control.sock").get("/v1/limits")
    found: list[dict[str, Any]] = answer["accounts"]  # type: ignore[assignment]
    return found


def _rows(daemon: Daemon, user: str, least: int) -> list[Row]:
    """Wait until no hold is open and at least so many of a user's requests are settled; return their rows."""
    deadline = time.monotonic() + 30
    while True:
        rows = daemon.query("SELECT * FROM ledger WHERE user_id = ?", user)
        if len(rows) >= least and not daemon.query("SELECT * FROM hold"):
            return rows
        assert time.monotonic() < deadline, f"{len(rows)} rows"
        time.sleep(0.01)


def _let_in(
    daemon: Daemon, upstream: Upstream, callers: list[Caller], body: Any, secret: str
) -> list[Caller]:
    """Send all at once, see 67 refused for good, and return the 33 that wait for the provider."""
    for caller in callers:
        caller.send(body, secret=secret)
    upstream.wait_for_calls(_ROOM, 30)
    refused = _answered(callers, _AT_ONCE - _ROOM)
    for caller in refused:
        heard = caller.read_until(b"}}")
        assert caller.status == 429 and b'"insufficient_quota"' in heard
        assert b"x-should-retry: false" in heard and b"retry-after" not in heard
    return [caller for caller in callers if caller not in refused]


def _end(
    daemon: Daemon, admitted: list[Caller], provider: _Provider, chance: random.Random, *, kill: bool
) -> None:
    """Let the provider answer, while some clients leave, or the daemon is killed."""
    for caller in chance.sample(admitted, 5):
        caller.leave()
    provider.gate.set()
    if kill:
        time.sleep(chance.uniform(0, 0.05))
        daemon.kill()
        daemon.start()
        return
    for caller in admitted:
        if caller.socket.fileno() >= 0:
            caller.read_until(b"\r\n\r\n")


def _check_books(
    daemon: Daemon, rows: list[Row], provider: _Provider, *, budget: int, is_killed: bool
) -> None:
    costs: dict[str, list[int]] = {}
    for row in rows:
        costs.setdefault(row["status"], []).append(row["cost_picousd"])
    refused = len(costs.pop("refused"))
    # A refusal is answered before it is committed: the last ones before a kill may be gone, and cost nothing.
    assert refused <= _AT_ONCE - _ROOM if is_killed else refused == _AT_ONCE - _ROOM
    assert sum(len(found) for found in costs.values()) == _ROOM
    assert set(costs.get("ok", [])) <= {_COST}
    assert set(costs.get("interrupted", [])) <= {_CEILING}
    assert sum(costs.get("ok", [])) <= provider.billed
    if not is_killed and not costs.get("cancelled"):
        assert sum(costs.get("ok", [])) == provider.billed
    assert max(row["cost_picousd"] for row in rows) <= _CEILING
    assert sum(row["cost_picousd"] for row in rows) <= budget
    where = {"everyone": "1", "user": "user_id = ?1", "token": "token_id = ?1"}
    for account in _limits(daemon):
        assert account["running"] == 0 and Decimal(account["held_usd"]) == 0
        spent = _spent(daemon, where[account["kind"]].replace("?1", f"'{account['name']}'"))
        assert Decimal(account["spent_usd"]) * 10**12 == spent


@pytest.mark.full
@pytest.mark.seconds(1500)
def test_a_hundred_at_once_share_the_room_for_33(serve: Serve, upstream: Upstream, is_full: bool) -> None:
    chance = random.Random(time.time_ns())
    daemon = serve(_settings(upstream.url))
    every = list(itertools.product(("token", "user", "everyone"), (True, False), (True, False)))
    variants = every * 5 if is_full else [every[0], every[7], every[9], every[10]]
    for number, (which, is_stream, is_killed) in enumerate(variants):
        budget = _ROOM * _CEILING + chance.randrange(_CEILING)
        per = chance.choice(["day", "month", "total"])
        limits = {"budget": {"usd": _usd(_spent(daemon) + budget), "per": per}} if which == "everyone" else {}
        daemon.stop()
        daemon.write_config(_settings(upstream.url, **limits))
        daemon.start()
        user, own = f"user-{number}", f"{_usd(budget)}/{per}"
        secret = daemon.add_token(
            f"device-{number}", "--user", user, *(["--budget", own] if which == "token" else [])
        )
        if which == "user":
            daemon.json("users", "set", user, "--budget", own)
        upstream.forget()
        upstream.script = provider = _Provider(chance)
        body = chat(MODEL, stream=is_stream, max_tokens=_MAX_TOKENS)
        with ExitStack() as stack:
            callers = [stack.enter_context(Caller(daemon.port)) for _ in range(_AT_ONCE)]
            admitted = _let_in(daemon, upstream, callers, body, secret)
            _end(daemon, admitted, provider, chance, kill=is_killed)
        mine = _rows(daemon, user, _ROOM if is_killed else _AT_ONCE)
        assert len(upstream.calls) == _ROOM
        _check_books(daemon, mine, provider, budget=budget, is_killed=is_killed)
    assert daemon.json("audit", "verify", "--full")["ok"]


def test_the_official_client_stops_at_a_spent_budget_and_comes_back_after_a_rate_limit(
    serve: Serve, upstream: Upstream
) -> None:
    daemon = serve(_settings(upstream.url))
    poor = daemon.add_token("poor", "--budget", "0/total")
    messages: Any = [{"role": "user", "content": "hi"}]
    with official(daemon.url, poor).with_options(max_retries=3) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=messages, max_tokens=5)
        assert caught.value.code == "insufficient_quota"
    assert len(daemon.wait_for_rows(1)) == 1

    hasty = daemon.add_token("hasty", "--rpm", "20", "--concurrency", "5", "--tpm", "100000")
    with official(daemon.url, hasty).with_options(max_retries=2) as client:
        for _ in range(22):
            raw = client.chat.completions.with_raw_response.create(
                model=MODEL, messages=messages, max_tokens=5
            )
            assert raw.headers["x-ratelimit-limit-requests"] == "20"
            assert raw.headers["x-ratelimit-limit-tokens"] == "100000"
    daemon.row(raw.headers["x-request-id"])
    refused = [row for row in daemon.ledger() if row["error_code"] == "rate_limit_exceeded"]
    assert refused and all(row["http_status"] == 429 for row in refused)
    assert sum(row["status"] == "ok" for row in daemon.ledger()) == 22


def test_a_budget_survives_a_restart_and_a_raise_takes_effect_at_once(
    serve: Serve, upstream: Upstream
) -> None:
    upstream.script = lambda seen: whole()
    daemon = serve(_settings(upstream.url))
    secret = daemon.add_token("phone", "--user", "mia")
    assert ask(daemon.url, secret, chat(MODEL, max_tokens=_MAX_TOKENS)).status == 200
    daemon.wait_for_rows(1)
    daemon.json("users", "set", "mia", "--budget", f"{_usd(_CEILING)}/month")
    assert Decimal(daemon.json("users", "list")["users"][0]["spent_usd"]) * 10**12 == _COST
    for _ in range(2):
        assert ask(daemon.url, secret, chat(MODEL, max_tokens=_MAX_TOKENS)).status == 429
        daemon.kill()
        daemon.start()
    daemon.json("users", "set", "mia", "--budget", f"{_usd(_CEILING + _COST)}/month")
    assert ask(daemon.url, secret, chat(MODEL, max_tokens=_MAX_TOKENS)).status == 200
    daemon.json("users", "set", "mia", "--budget", "none", "--rpm", "5")
    (account,) = _limits(daemon)
    assert (account["kind"], account["name"], account["budget"], account["rpm"]) == ("user", "mia", None, 5)


def test_a_request_cut_off_by_a_kill_counts_as_all_it_could_cost(serve: Serve, upstream: Upstream) -> None:
    upstream.script = lambda seen: streamed(["word "] * 1000, pause=0.01)
    daemon = serve(_settings(upstream.url, budget={"usd": _usd(2 * _CEILING - 1), "per": "total"}))
    secret = daemon.add_token()
    with Caller(daemon.port) as caller:
        caller.send(chat(MODEL, stream=True, max_tokens=_MAX_TOKENS), secret=secret).read_until(b"word")
        daemon.kill()
    daemon.start()
    assert [row["cost_picousd"] for row in daemon.ledger()] == [_CEILING]
    assert ask(daemon.url, secret, chat(MODEL, max_tokens=_MAX_TOKENS)).status == 429
    upstream.script = lambda seen: whole()
    assert ask(daemon.url, secret, chat(MODEL, max_tokens=_MAX_TOKENS - 1)).status == 200
