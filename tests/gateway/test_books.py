"""Tests of what a request is held and settled at when a route fails that may bill it all the same."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chatvault.core.budget import Budget
from chatvault.core.limits import Limits
from chatvault.core.pricing import PriceBook, override
from chatvault.core.routing import Route
from chatvault.core.usage import Usage
from chatvault.errors import (
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    StorageFull,
)
from chatvault.gateway.call import Ending
from tests.support.databases import rows_of
from tests.support.gateway import TOKEN, Client, Inside, ScriptedProvider, inside

TOKENS = 10**6
"""Picodollars an output token costs; what goes in is free."""
PRICES = PriceBook([override("dear", input=Decimal(0), output=Decimal(1))])
ROUTES = {
    "two": [Route("first", "dear", False), Route("second", "dear", False)],
    "home": [Route("first", "dear", False), Route("second", "dear", False), Route("home", "m", True)],
    "odd": [Route("first", "unpriced", False), Route("second", "dear", False)],
    "even": [Route("first", "dear", False), Route("second", "unpriced", False)],
}
WHICH = ["token", "user", "everyone"]


def ask(model: str = "two", *, stream: bool = False, **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": model, "messages": messages, "stream": stream, **fields}).encode()


def limit(gateway: Inside, which: str, tokens: int, per: str = "day") -> None:
    limits = Limits(Budget(tokens * TOKENS, per))  # type: ignore[arg-type]
    if which == "everyone":
        gateway.accounts.limit_everyone(limits, 0)
    else:
        named = {TOKEN.id: limits} if which == "token" else {TOKEN.user: limits}
        gateway.accounts.limit(*((named, {}) if which == "token" else ({}, named)), now_ms=0)


def paid(name: str, error: Exception | None = None, *, tokens: int = 100, **more: Any) -> ScriptedProvider:
    """Return a provider that fails, or whose answers take `tokens`."""
    usage = Usage(input_tokens=7, output_tokens=tokens)
    return ScriptedProvider(name, is_local=False, error=error, usage=usage, **more)


def silent(name: str = "first") -> ScriptedProvider:
    """Return a provider that falls silent, so that it may bill all that it could write."""
    return paid(name, ProviderTimeout("silent"))


def run(
    folder: Path, go: Callable[[Inside], Awaitable[None]], *providers: ScriptedProvider, **options: Any
) -> None:
    """Run `go`; afterwards nothing is held, and what is spent is what the ledger says."""

    async def main() -> None:
        settings = {"prices": PRICES, "aliases": ROUTES, **options}
        async with inside(folder, *providers, **settings) as gateway:
            await go(gateway)
            accounts = gateway.accounts
            for account in (accounts.token(TOKEN.id), accounts.user(TOKEN.user), accounts.everyone):
                assert [account.held(per) for per in ("day", "month", "total")] == [0, 0, 0]
                assert account.spent("total") == sum(row["cost_picousd"] or 0 for row in await gateway.rows())

    asyncio.run(main())


def called(*providers: ScriptedProvider) -> list[int]:
    return [len(provider.requests) for provider in providers]


@pytest.mark.parametrize("which", WHICH)
def test_without_room_for_both_the_second_route_is_not_asked(tmp_path: Path, which: str) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, which, 199)
        client = await gateway.ask(ask(max_tokens=100))
        assert (client.status, json.loads(client.body)["error"]["code"]) == (504, "upstream_timeout")
        (row,) = await gateway.rows()
        assert (row["status"], row["provider"], row["cost_basis"]) == ("error", "first", "upper_bound")
        assert row["cost_picousd"] == 100 * TOKENS
        # Whoever asks again is told of the budget.
        assert (await gateway.ask(ask(max_tokens=100))).status == 429

    run(tmp_path, go, first := silent(), second := paid("second"))
    assert called(first, second) == [1, 0]


@pytest.mark.parametrize("which", WHICH)
def test_with_room_for_both_the_hold_covers_them_while_the_second_answers(tmp_path: Path, which: str) -> None:
    async def go(gateway: Inside) -> None:
        async def look() -> bytes:
            (held,) = rows_of(gateway.path, "SELECT ceiling_picousd FROM hold")
            assert held == (200 * TOKENS,)
            assert gateway.accounts.everyone.held("day") == 200 * TOKENS
            # A hundred more would fit beside one of both, but not beside both.
            assert (await gateway.ask(ask("second/dear", max_tokens=50))).status == 429
            return b""

        gateway.providers["second"].wait = look
        limit(gateway, which, 249)
        assert (await gateway.ask(ask(max_tokens=100))).status == 200
        rows = [row for row in await gateway.rows() if row["status"] == "ok"]
        assert [(row["cost_picousd"], row["cost_basis"]) for row in rows] == [(200 * TOKENS, "upper_bound")]

    run(tmp_path, go, first := silent(), second := paid("second"))
    assert called(first, second) == [1, 1]


def test_without_a_budget_the_hold_is_raised_all_the_same(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        async def look() -> bytes:
            assert rows_of(gateway.path, "SELECT ceiling_picousd FROM hold") == [(200 * TOKENS,)]
            return b""

        gateway.providers["second"].wait = look
        assert (await gateway.ask(ask(max_tokens=100))).status == 200

    run(tmp_path, go, silent(), paid("second"))


def test_a_stream_that_fell_silent_at_once_needs_little_more(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 150_000)
        assert (await gateway.ask(ask(stream=True, max_tokens=100_000))).status == 200
        (row,) = await gateway.rows()
        assert row["cost_picousd"] <= 150_000 * TOKENS

    run(tmp_path, go, first := silent(), second := paid("second"))
    assert called(first, second) == [1, 1]


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnreachable("down"),
        ProviderOverloaded("busy", upstream_status=429),
        ProviderFailed("oops", upstream_status=500),
    ],
)
def test_what_surely_billed_nothing_needs_no_more_room(tmp_path: Path, error: ProviderError) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 100)
        assert (await gateway.ask(ask(max_tokens=100))).status == 200
        (row,) = await gateway.rows()
        assert (row["cost_picousd"], row["cost_basis"]) == (100 * TOKENS, "exact")

    run(tmp_path, go, paid("first", error), paid("second"))


def test_a_route_at_home_answers_where_no_paid_one_fits(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 150)
        client = await gateway.ask(ask("home", max_tokens=100))
        assert client.headers[b"x-chatvault-route"] == b"home/m"
        (row,) = await gateway.rows()
        assert (row["cost_picousd"], row["cost_basis"]) == (100 * TOKENS, "upper_bound")

    run(tmp_path, go, silent(), second := paid("second"), ScriptedProvider("home"))
    assert called(second) == [0]


def test_what_two_routes_lost_is_covered_beside_the_third(tmp_path: Path) -> None:
    routes = {"three": [Route(name, "dear", False) for name in ("first", "second", "third")]}

    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 299)
        assert (await gateway.ask(ask("three", max_tokens=100))).status == 504
        limit(gateway, "everyone", 500)
        assert (await gateway.ask(ask("three", max_tokens=100))).status == 200
        assert [row["cost_picousd"] for row in await gateway.rows()] == [200 * TOKENS, 300 * TOKENS]

    run(tmp_path, go, silent(), silent("second"), third := paid("third"), aliases=routes)
    assert called(third) == [1]


def test_a_route_without_max_tokens_is_cut_to_what_is_left(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 200_000)
        client = await gateway.ask(ask())
        # The table's 131,072 tokens of an unknown model were lost.
        assert client.headers[b"x-chatvault-max-tokens"] == b"68928"

    run(tmp_path, go, first := silent(), second := paid("second"))
    assert [each.max_tokens for each in (*first.requests, *second.requests)] == [None, 68_928]


@pytest.mark.parametrize("is_lost", [True, False])
def test_who_leaves_while_waiting_for_the_second_route_pays_for_the_first_alone(
    tmp_path: Path, is_lost: bool
) -> None:
    async def go(gateway: Inside) -> None:
        limit(gateway, "everyone", 250)
        await gateway.places["second"].enter()
        call, client = gateway.call(), Client()
        serving = asyncio.ensure_future(gateway.relay.serve(call, ask(max_tokens=100), client.send, []))
        call.task = serving
        while not gateway.places["second"].waiting:
            await asyncio.sleep(0.001)
        call.end(Ending.CLIENT_LEFT)
        await serving
        gateway.places["second"].leave()
        (row,) = await gateway.rows()
        assert (row["status"], row["cost_picousd"]) == ("cancelled", 100 * TOKENS if is_lost else 0)

    first = silent() if is_lost else paid("first", ProviderUnreachable("down"))
    run(tmp_path, go, first, second := paid("second"), limit=1, queue_seconds=60)
    assert called(second) == [0]


def test_a_full_queue_at_the_second_route_does_not_forget_the_first(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.places["second"].enter()
        assert (await gateway.ask(ask(max_tokens=100))).status == 503
        gateway.places["second"].leave()
        (row,) = await gateway.rows()
        assert (row["status"], row["cost_picousd"]) == ("error", 100 * TOKENS)

    run(tmp_path, go, silent(), paid("second"), limit=1, queue_seconds=0.01)


def test_a_second_route_that_refuses_leaves_what_the_first_may_bill(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        assert (await gateway.ask(ask(max_tokens=100))).status == 429
        (row,) = await gateway.rows()
        assert (row["provider"], row["cost_picousd"]) == ("second", 100 * TOKENS)

    run(tmp_path, go, silent(), paid("second", ProviderOverloaded("busy", upstream_status=429)))


@pytest.mark.parametrize(("model", "status"), [("two", 504), ("home", 200)])
def test_a_hold_that_can_not_be_raised_on_the_disk_leaves_the_routes_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, status: int
) -> None:
    async def full(change: object) -> None:
        raise StorageFull("no room")

    async def go(gateway: Inside) -> None:
        monkeypatch.setattr(gateway.store, "submit", full)
        assert (await gateway.ask(ask(model, max_tokens=100))).status == status
        (row,) = await gateway.rows()
        assert row["cost_picousd"] == 100 * TOKENS
        assert row["provider"] == ("home" if status == 200 else "first")

    run(tmp_path, go, silent(), second := paid("second"), ScriptedProvider("home"))
    assert called(second) == [0]


def test_what_a_route_without_a_price_may_bill_is_no_exact_cost(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        assert (await gateway.ask(ask("odd", max_tokens=100))).status == 200
        (row,) = await gateway.rows()
        assert (row["cost_picousd"], row["cost_basis"]) == (100 * TOKENS, "estimated")

    run(tmp_path, go, silent(), paid("second"))


def test_a_budget_set_meanwhile_keeps_the_next_route_without_a_price_out(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        async def set_a_budget() -> bytes:
            limit(gateway, "user", 10_000)
            return b""

        gateway.providers["first"].wait = set_a_budget
        assert (await gateway.ask(ask("even", max_tokens=100))).status == 504

    run(tmp_path, go, silent(), second := paid("second"))
    assert called(second) == [0]


def test_the_next_routes_row_does_not_name_the_failed_ones_id(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        assert (await gateway.ask(ask(stream=True))).status == 200
        (row,) = await gateway.rows()
        assert row["upstream_request_id"] is None

    failed = ProviderFailed("oops", upstream_status=500, upstream_request_id="req_of_the_first")
    run(tmp_path, go, paid("first", failed), paid("second"))


@pytest.mark.parametrize("stream", [False, True])
def test_many_at_once_that_fall_back_overdraw_no_budget(tmp_path: Path, stream: bool) -> None:
    async def go(gateway: Inside) -> None:
        async def late() -> bytes:
            await asyncio.sleep(0.002)
            return b""

        gateway.providers["first"].wait = late
        limit(gateway, "everyone", 555)
        clients = await asyncio.gather(*[gateway.ask(ask(stream=stream, max_tokens=100)) for _ in range(20)])
        assert {client.status for client in clients} <= {200, 429, 504}
        assert len(gateway.providers["first"].requests) == 5
        assert gateway.accounts.everyone.spent("day") <= 555 * TOKENS

    run(tmp_path, go, silent(), paid("second"))
