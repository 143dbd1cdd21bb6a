"""Tests of budgets and limits at the gateway, with a real ledger behind them."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from chatvault.core.budget import Budget
from chatvault.core.limits import Limits
from chatvault.core.pricing import PriceBook, override
from chatvault.core.routing import Route
from chatvault.core.usage import Usage
from chatvault.errors import ProviderBroke, ProviderFailed, ProviderRefused, ProviderUnreachable, StorageFull
from chatvault.gateway.auth import PROBE_ID
from chatvault.gateway.call import Ending
from chatvault.gateway.rate_headers import duration
from tests.support.gateway import DONE, TOKEN, Client, Inside, ScriptedProvider, Step, delta, inside
from tests.support.waiting import until

PRICES = PriceBook([override("dear", input=Decimal(0), output=Decimal(1))])
"""Nothing in, one dollar a million out: a request's ceiling is its max_tokens in millionths of a dollar."""
TOKENS = 10**6
"""Picodollars an output token costs."""
FAST = {"fast": [Route("home", "m", True), Route("paid", "dear", False)]}


def ask(model: str = "paid/dear", *, stream: bool = False, **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": model, "messages": messages, "stream": stream, **fields}).encode()


def run(
    folder: Path, go: Callable[[Inside], Awaitable[None]], *providers: ScriptedProvider, **options: object
) -> None:
    async def main() -> None:
        async with inside(folder, *providers, **{"prices": PRICES, **options}) as gateway:  # type: ignore[arg-type]
            await go(gateway)
            accounts = gateway.accounts
            for account in (accounts.token(TOKEN.id), accounts.user(TOKEN.user), accounts.everyone):
                assert [account.held(per) for per in ("day", "month", "total")] == [0, 0, 0]
                assert account.running == 0
                assert account.spent("total") == sum(row["cost_picousd"] or 0 for row in await gateway.rows())

    asyncio.run(main())


def paid(tokens: int = 10, **more: object) -> ScriptedProvider:
    """Return a provider whose answers take `tokens`."""
    usage = Usage(input_tokens=7, output_tokens=tokens)
    return ScriptedProvider("paid", is_local=False, **{"usage": usage, **more})  # type: ignore[arg-type]


def budget(tokens: int, per: str = "day") -> Limits:
    """Return a budget with room for `tokens`."""
    return Limits(Budget(tokens * TOKENS, per))  # type: ignore[arg-type]


def limit(gateway: Inside, which: str, limits: Limits) -> None:
    """Put `limits` on the token, its user, or everyone."""
    if which == "everyone":
        gateway.accounts.limit_everyone(limits, 0)
    else:
        named = {TOKEN.id: limits} if which == "token" else {TOKEN.user: limits}
        gateway.accounts.limit(*((named, {}) if which == "token" else ({}, named)), now_ms=0)


def code(client: Client) -> str | None:
    found: str | None = json.loads(client.body)["error"]["code"]
    return found


@pytest.mark.parametrize("which", ["token", "user", "everyone"])
def test_a_spent_budget_refuses_and_tells_clients_to_stop(tmp_path: Path, which: str) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, which, budget(25))
        assert (await gateway.ask(ask(max_tokens=10))).status == 200
        assert (await gateway.ask(ask(max_tokens=10))).status == 200
        client = await gateway.ask(ask(max_tokens=10))
        assert (client.status, code(client)) == (429, "insufficient_quota")
        assert client.headers[b"x-should-retry"] == b"false"
        assert b"retry-after" not in client.headers
        # A smaller one still fits.
        assert (await gateway.ask(ask(max_tokens=5))).status == 200
        refused = [row for row in await gateway.rows() if row["status"] == "refused"]
        assert [(row["error_code"], row["model_name"]) for row in refused] == [
            ("insufficient_quota", "paid/dear")
        ]

    run(tmp_path, go, provider := paid())
    assert len(provider.requests) == 3


@pytest.mark.full
@pytest.mark.seconds(600)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("which", ["token", "user", "everyone"])
def test_a_hundred_at_once_share_the_room_for_33(
    tmp_path: Path, which: str, stream: bool, is_full: bool
) -> None:
    chance = random.Random(which + str(stream))

    async def go(gateway: Inside) -> None:
        for number in range(50 if is_full else 4):
            await _a_hundred(gateway, which, stream, chance)
            assert len(await gateway.rows()) == 100 * (number + 1)

    run(tmp_path, go, paid(10))


async def _a_hundred(gateway: Inside, which: str, stream: bool, chance: random.Random) -> None:
    """Send a hundred requests; some of those that are let in fail, some of their clients leave."""
    before = gateway.accounts.everyone.spent("total") // TOKENS
    spent = {"token": gateway.accounts.token(TOKEN.id), "user": gateway.accounts.user(TOKEN.user)}.get(
        which, gateway.accounts.everyone
    )
    limit(gateway, which, budget(before + 339, chance.choice(["day", "month", "total"])))
    provider = gateway.providers["paid"]
    provider.requests.clear()
    gate = asyncio.Event()

    async def wait() -> bytes:
        await gate.wait()
        fate = chance.random()
        if fate < 0.15:
            raise chance.choice([ProviderFailed("oops"), ProviderRefused("no", status=422)])
        return b""

    async def breaks() -> bytes:
        if chance.random() < 0.1:
            raise ProviderBroke("cut")
        return delta("hi")

    provider.wait = wait
    steps: list[Step] = [delta("hi"), breaks, DONE]
    provider.steps = steps
    clients = [Client() for _ in range(100)]
    calls = []

    async def one(client: Client) -> None:
        call = gateway.call()
        calls.append(call)
        await gateway.relay.serve(call, ask(stream=stream, max_tokens=10), client.send, [])

    tasks = [asyncio.ensure_future(one(client)) for client in clients]
    deadline = time.monotonic() + 60
    while len(provider.requests) < 33 or sum(client.status == 429 for client in clients) < 67:
        assert time.monotonic() < deadline, f"{len(provider.requests)} were let in"
        await asyncio.sleep(0.001)
    held = gateway.accounts.everyone.held("total")
    assert held == 330 * TOKENS
    assert sum(client.status == 429 for client in clients) == 67
    for call in chance.sample(calls, 10):
        call.end(Ending.CLIENT_LEFT)
    gate.set()
    await asyncio.gather(*tasks)
    assert len(provider.requests) == 33
    assert spent.held("total") == 0
    assert spent.spent("total") <= (before + 339) * TOKENS


def test_a_failed_request_gives_its_hold_back(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(10))
        for _ in range(3):
            assert (await gateway.ask(ask(max_tokens=10))).status == 502
        assert gateway.accounts.everyone.room() == 10 * TOKENS

    run(tmp_path, go, paid(error=ProviderUnreachable("down")))


def test_a_hold_that_cant_be_written_down_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(hold: object) -> None:
        raise StorageFull("no room")

    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(10))
        monkeypatch.setattr(gateway.store, "hold", full)
        client = await gateway.ask(ask(max_tokens=10))
        assert (client.status, code(client)) == (503, "storage_full")

    run(tmp_path, go, provider := paid())
    assert not provider.requests


def test_without_max_tokens_the_answer_is_cut_to_the_room_there_is(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(5_000))
        client = await gateway.ask(ask())
        assert client.status == 200
        assert client.headers[b"x-chatvault-max-tokens"] == b"5000"

    run(tmp_path, go, provider := paid(4_500))
    assert [request.max_tokens for request in provider.requests] == [5_000]


@pytest.mark.parametrize(("room", "may_cut"), [(1_023, True), (5_000, False)])
def test_too_little_room_refuses_a_request_without_max_tokens(
    tmp_path: Path, room: int, may_cut: bool
) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(room))
        client = await gateway.ask(ask())
        assert (client.status, code(client)) == (429, "insufficient_quota")

    run(tmp_path, go, provider := paid(), may_cut=may_cut)
    assert not provider.requests


def test_1024_tokens_are_enough_for_a_cut(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(1_024))
        assert (await gateway.ask(ask())).status == 200

    run(tmp_path, go, provider := paid())
    assert [request.max_tokens for request in provider.requests] == [1_024]


def test_thinking_gets_its_room_beside_the_answer(tmp_path: Path) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_000}

    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(3_000))
        assert (await gateway.ask(ask(thinking=thinking))).status == 429
        limit(gateway, "everyone", budget(3_100))
        assert (await gateway.ask(ask(thinking=thinking))).status == 200

    run(tmp_path, go, paid())


def test_max_tokens_of_the_client_is_never_cut(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(5_000))
        assert (await gateway.ask(ask(max_tokens=5_001))).status == 429
        client = await gateway.ask(ask(max_tokens=5_000))
        assert client.status == 200
        assert b"x-chatvault-max-tokens" not in client.headers

    run(tmp_path, go, paid())


def test_a_spent_budget_leaves_the_models_at_home(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(0))
        assert (await gateway.ask(ask("home/m"))).status == 200
        client = await gateway.ask(ask("fast"))
        assert client.headers[b"x-chatvault-route"] == b"home/m"
        gateway.providers["home"].error = ProviderUnreachable("down")
        assert (await gateway.ask(ask("fast"))).status == 502

    run(tmp_path, go, ScriptedProvider("home"), provider := paid(), aliases=FAST)
    assert not provider.requests


def test_a_cut_holds_for_the_paid_route_alone(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", budget(2_000))
        assert b"x-chatvault-max-tokens" not in (await gateway.ask(ask("fast"))).headers
        gateway.providers["home"].error = ProviderUnreachable("down")
        assert (await gateway.ask(ask("fast"))).headers[b"x-chatvault-max-tokens"] == b"2000"

    run(tmp_path, go, home := ScriptedProvider("home"), provider := paid(), aliases=FAST)
    assert [request.max_tokens for request in home.requests] == [None, None]
    assert [request.max_tokens for request in provider.requests] == [2_000]


def test_a_model_without_a_price_is_refused_while_a_budget_applies(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        assert (await gateway.ask(ask("paid/nobody-knows"))).status == 200
        limit(gateway, "user", budget(1_000_000))
        client = await gateway.ask(ask("paid/nobody-knows"))
        assert (client.status, code(client)) == (403, "model_not_priced")
        *_, row = await gateway.rows()
        assert (row["status"], row["error_code"]) == ("refused", "model_not_priced")

    run(tmp_path, go, paid())


def test_a_model_without_a_price_goes_through_where_that_is_allowed(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "user", budget(0))
        assert (await gateway.ask(ask("paid/nobody-knows"))).status == 200

    run(tmp_path, go, paid(), blocks_unpriced=False)


def test_the_route_without_a_price_is_left_out(tmp_path: Path) -> None:
    routes = {"any": [Route("paid", "nobody-knows", False), Route("paid", "dear", False)]}

    async def go(gateway: Inside) -> None:
        limit(gateway, "user", budget(1_000))
        client = await gateway.ask(ask("any", max_tokens=10))
        assert client.headers[b"x-chatvault-route"] == b"paid/dear"

    run(tmp_path, go, paid(), aliases=routes)


@pytest.mark.parametrize("which", ["token", "user", "everyone"])
def test_too_many_requests_a_minute_are_told_when_to_come_back(tmp_path: Path, which: str) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, which, Limits(requests_per_minute=2))
        first = await gateway.ask(ask("home/m"))
        assert first.headers[b"x-ratelimit-limit-requests"] == b"2"
        assert first.headers[b"x-ratelimit-remaining-requests"] == b"1"
        assert first.headers[b"x-ratelimit-reset-requests"].endswith(b"s")
        assert (await gateway.ask(ask("home/m", temperature=9))).headers[
            b"x-ratelimit-remaining-requests"
        ] == b"0"
        third = await gateway.ask(ask("home/m"))
        assert (third.status, code(third)) == (429, "rate_limit_exceeded")
        assert 1 <= int(third.headers[b"retry-after"]) <= 30
        assert b"x-should-retry" not in third.headers
        assert third.headers[b"x-ratelimit-remaining-requests"] == b"0"
        *_, row = await gateway.rows()
        assert (row["status"], row["error_code"], row["model_name"]) == (
            "refused",
            "rate_limit_exceeded",
            "home/m",
        )

    run(tmp_path, go, ScriptedProvider("home"))


def test_too_many_tokens_a_minute_are_refused(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "token", Limits(tokens_per_minute=1_000))
        client = await gateway.ask(ask("home/m", max_tokens=900))
        assert int(client.headers[b"x-ratelimit-remaining-tokens"]) < 100
        # It took 17 in the end.
        client = await gateway.ask(ask("home/m", max_tokens=900))
        assert client.status == 200
        gateway.providers["home"].usage = Usage(input_tokens=3_000, output_tokens=3)
        assert (await gateway.ask(ask("home/m", stream=True))).status == 200
        client = await gateway.ask(ask("home/m"))
        assert (client.status, code(client)) == (429, "rate_limit_exceeded")
        assert int(client.headers[b"retry-after"]) > 60

    usage = Usage(input_tokens=7, output_tokens=10)
    run(tmp_path, go, ScriptedProvider("home", usage=usage))


def test_more_at_once_than_may_run_are_refused(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def wait() -> bytes:
        await gate.wait()
        return b""

    async def go(gateway: Inside) -> None:
        limit(gateway, "token", Limits(concurrency=2))
        running = [asyncio.ensure_future(gateway.ask(ask("home/m"))) for _ in range(2)]
        await until(lambda: len(home.requests) == 2)
        client = await gateway.ask(ask("home/m"))
        assert (client.status, code(client), client.headers[b"retry-after"]) == (
            429,
            "rate_limit_exceeded",
            b"1",
        )
        gate.set()
        assert [(await each).status for each in running] == [200, 200]
        assert (await gateway.ask(ask("home/m"))).status == 200

    home = ScriptedProvider("home", wait=wait)
    run(tmp_path, go, home)


def test_without_limits_there_are_no_rate_headers(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("home/m"))
        assert not [name for name in client.headers if name.startswith(b"x-ratelimit")]

    run(tmp_path, go, ScriptedProvider("home"))


def test_a_probe_is_held_up_by_no_limit(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", Limits(Budget(0, "day"), requests_per_minute=1, concurrency=1))
        for _ in range(3):
            assert (await gateway.ask(ask("home/m"), token=replace(TOKEN, id=PROBE_ID))).status == 200

    run(tmp_path, go, ScriptedProvider("home"))


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0ms"), (120, "120ms"), (1_000, "1s"), (8_640, "8.64s"), (60_000, "1m0s"), (361_500, "6m1.5s")],
)
def test_a_length_of_time_is_written_as_openai_does(milliseconds: int, text: str) -> None:
    assert duration(milliseconds) == text.encode()
