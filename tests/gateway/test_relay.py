"""Tests of a request's way, with a real ledger at its end."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chatvault.core.access import AccessToken
from chatvault.core.pricing import PriceBook, override
from chatvault.core.routing import Route
from chatvault.core.usage import Usage
from chatvault.errors import (
    ProviderBroke,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
)
from chatvault.gateway.auth import PROBE_ID
from chatvault.gateway.call import Call, Ending
from tests.support.gateway import DONE, TOKEN, Client, Inside, ScriptedProvider, delta, for_ever, inside
from tests.support.waiting import until

PRICES = PriceBook([override("dear", input=Decimal(2), output=Decimal(10))])
FAST = {"fast": [Route("home", "m", True), Route("paid", "dear", False)]}


def ask(model: str = "home/m", *, stream: bool = False, **fields: object) -> bytes:
    messages = [{"role": "user", "content": "hello"}]
    return json.dumps({"model": model, "messages": messages, "stream": stream, **fields}).encode()


def run(
    folder: Path, go: Callable[[Inside], Awaitable[None]], *providers: ScriptedProvider, **options: object
) -> None:
    async def main() -> None:
        async with inside(folder, *providers, **options) as gateway:  # type: ignore[arg-type]
            await go(gateway)

    asyncio.run(main())


async def being_served(
    gateway: Inside, call: Call, client: Client, provider: ScriptedProvider
) -> "asyncio.Task[None]":
    """Return the task that serves a stream, once `provider` has been asked for it."""
    serving = asyncio.ensure_future(gateway.relay.serve(call, ask("paid/dear", stream=True), client.send, []))
    call.task = serving
    while not provider.requests:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.005)
    return serving


def test_a_whole_answer_is_sent_and_written_down(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask())
        assert (client.status, client.body) == (200, b'{"object":"chat.completion"}')
        assert client.headers[b"x-chatvault-route"] == b"home/m"
        (row,) = await gateway.rows()
        assert (row["status"], row["http_status"], row["stream"]) == ("ok", 200, 0)
        assert (row["input_tokens"], row["output_tokens"], row["usage_basis"]) == (7, 3, "provider")
        assert (row["cost_picousd"], row["cost_basis"]) == (0, "local")
        assert row["upstream_request_id"] == "req_1"

    run(tmp_path, go, ScriptedProvider("home"))


def test_a_stream_is_sent_as_it_comes_and_written_down(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask(stream=True))
        assert client.body == delta("hi") + DONE
        assert client.headers[b"content-type"].startswith(b"text/event-stream")
        assert client.is_ended
        (row,) = await gateway.rows()
        assert (row["status"], row["output_tokens"]) == ("ok", 3)
        assert row["ttft_ms"] is not None

    run(tmp_path, go, ScriptedProvider("home"))


def test_a_paid_answer_costs_what_the_provider_counted(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/dear", stream=True))
        (row,) = await gateway.rows()
        # 7 tokens at $2 and 3 at $10 per million: 7 × 2,000,000 + 3 × 10,000,000 picodollars.
        assert (row["cost_picousd"], row["cost_basis"]) == (44_000_000, "exact")
        assert row["rate_card_id"] is not None

    run(tmp_path, go, ScriptedProvider("paid", is_local=False), prices=PRICES)


def test_a_model_without_a_price_is_unpriced_not_free(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/nobody-knows"))
        (row,) = await gateway.rows()
        assert (row["cost_picousd"], row["cost_basis"]) == (None, "unpriced")

    run(tmp_path, go, ScriptedProvider("paid", is_local=False), prices=PRICES)


def test_an_answer_without_usage_is_estimated(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/dear"))
        (row,) = await gateway.rows()
        assert (row["usage_basis"], row["cost_basis"]) == ("estimated", "estimated")
        assert row["cost_picousd"] > 0

    run(tmp_path, go, ScriptedProvider("paid", is_local=False, usage=None), prices=PRICES)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        ProviderUnreachable("no connection"),
        ProviderTimeout("silent"),
        ProviderOverloaded("busy", upstream_status=429, retry_after=7),
        ProviderFailed("oops", upstream_status=500),
    ],
)
def test_the_next_route_answers_when_the_first_fails_before_a_byte(
    tmp_path: Path, error: ProviderError, stream: bool
) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("fast", stream=stream))
        assert client.status == 200
        assert client.headers[b"x-chatvault-route"] == b"paid/dear"
        (row,) = await gateway.rows()
        assert (row["provider"], row["upstream_model"], row["status"]) == ("paid", "dear", "ok")
        assert row["cost_picousd"] == 44_000_000

    home = ScriptedProvider("home", error=error)
    run(tmp_path, go, home, ScriptedProvider("paid", is_local=False), aliases=FAST, prices=PRICES)


def test_a_refusal_of_the_request_does_not_fall_back(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("fast"))
        assert client.status == 422
        (row,) = await gateway.rows()
        assert (row["status"], row["cost_picousd"], row["provider"]) == ("error", 0, "home")

    home = ScriptedProvider("home", error=ProviderRefused("no", status=422))
    run(tmp_path, go, home, ScriptedProvider("paid", is_local=False), aliases=FAST, prices=PRICES)


def test_a_stream_that_breaks_ends_with_an_error_and_without_done(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("paid/dear", stream=True))
        events = client.body.split(b"\n\n")
        assert client.status == 200
        assert json.loads(events[1].removeprefix(b"data: "))["error"]["code"] == "upstream_error"
        assert DONE not in client.body
        assert client.is_ended
        (row,) = await gateway.rows()
        assert (row["status"], row["http_status"], row["error_code"]) == ("error", 200, "upstream_error")
        assert (row["usage_basis"], row["cost_basis"]) == ("estimated", "upper_bound")
        assert row["output_tokens"] >= 1

    paid = ScriptedProvider("paid", steps=[delta("hi"), ProviderBroke("cut")], is_local=False)
    run(tmp_path, go, paid, prices=PRICES)


def test_a_stream_that_fails_at_its_first_event_falls_back(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("fast", stream=True))
        assert client.body == delta("hi") + DONE
        assert client.headers[b"x-chatvault-route"] == b"paid/dear"

    home = ScriptedProvider("home", steps=[ProviderOverloaded("busy", upstream_status=529)])
    run(tmp_path, go, home, ScriptedProvider("paid", is_local=False), aliases=FAST, prices=PRICES)
    assert home.streams[0].is_closed


@pytest.mark.parametrize("ending", list(Ending))
@pytest.mark.parametrize("moment", ["before the answer", "before the first token", "in the middle"])
def test_a_request_that_is_cut_closes_the_provider_and_is_settled(
    tmp_path: Path, ending: Ending, moment: str
) -> None:
    paid = ScriptedProvider("paid", is_local=False)
    if moment == "before the answer":
        paid.wait = for_ever
    else:
        paid.steps = [for_ever] if moment == "before the first token" else [delta("hi"), for_ever]

    async def go(gateway: Inside) -> None:
        client = Client()
        call = gateway.call()
        serving = await being_served(gateway, call, client, paid)
        call.end(ending)
        await serving
        (row,) = await gateway.rows()
        assert (row["status"], row["usage_basis"]) == ("cancelled", "estimated")
        assert row["cost_picousd"] > 0
        assert all(stream.is_closed for stream in paid.streams)
        assert gateway.places["paid"].taken == 0
        if ending is Ending.CLIENT_LEFT:
            assert row["http_status"] == 499
        elif moment == "in the middle":
            assert client.body.startswith(delta("hi") + b'data: {"error":')
            assert DONE not in client.body
        else:
            assert client.status in (401, 503)

    run(tmp_path, go, paid, prices=PRICES)


def test_a_stream_that_is_cut_while_it_thinks_unseen_is_paid_for(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        call = gateway.call()
        call.started -= 2
        client = Client()
        serving = await being_served(gateway, call, client, paid)
        call.end(Ending.CLIENT_LEFT)
        await serving
        (row,) = await gateway.rows()
        assert (row["status"], row["cost_basis"]) == ("cancelled", "upper_bound")
        # Two seconds at a thousand tokens a second at the least, $10 per million.
        assert row["cost_picousd"] >= 2000 * 10_000_000

    paid = ScriptedProvider("paid", is_local=False, steps=[for_ever])
    run(tmp_path, go, paid, prices=PRICES)


def test_who_reads_slowly_and_leaves_pays_for_what_may_have_been_written_meanwhile(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        call = gateway.call()

        async def slow(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                # The kernel takes in what the provider goes on to say.
                await asyncio.sleep(0.4)

        serving = asyncio.ensure_future(gateway.relay.serve(call, ask("paid/dear", stream=True), slow, []))
        call.task = serving
        while not paid.streams or paid.streams[0].meter.deltas < 3:
            await asyncio.sleep(0.001)
        call.end(Ending.CLIENT_LEFT)
        await serving
        (row,) = await gateway.rows()
        assert (row["status"], row["cost_basis"]) == ("cancelled", "upper_bound")
        # Two writes of 0.4 s, at four thousand tokens a second, $10 per million.
        assert row["cost_picousd"] >= 2 * 1600 * 10_000_000

    paid = ScriptedProvider("paid", is_local=False, steps=[delta("hi"), delta("hi"), delta("hi"), for_ever])
    run(tmp_path, go, paid, prices=PRICES)


def test_a_route_that_timed_out_is_counted_beside_the_one_that_answered(tmp_path: Path) -> None:
    two = {"two": [Route("first", "dear", False), Route("paid", "dear", False)]}

    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("two", max_tokens=50))
        assert client.status == 200
        (row,) = await gateway.rows()
        # 50 tokens at $10 that the first may have written, and what the second counted.
        assert row["cost_picousd"] >= 50 * 10_000_000 + 44_000_000
        assert row["cost_basis"] == "upper_bound"

    first = ScriptedProvider("first", is_local=False, error=ProviderTimeout("silent"))
    run(tmp_path, go, first, ScriptedProvider("paid", is_local=False), aliases=two, prices=PRICES)


def test_a_whole_paid_answer_nobody_heard_may_cost_all_it_could(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/dear", max_tokens=100))
        (row,) = await gateway.rows()
        assert (row["status"], row["usage_basis"], row["output_tokens"]) == ("error", "estimated", None)
        assert row["cost_basis"] == "upper_bound"
        # 100 tokens out at $10 and the 5 bytes and frame of the prompt at $2 per million.
        assert row["cost_picousd"] >= 100 * 10_000_000

    paid = ScriptedProvider("paid", is_local=False, error=ProviderFailed("that makes no sense"))
    run(tmp_path, go, paid, prices=PRICES)


def test_what_a_provider_failed_at_itself_costs_nothing(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/dear"))
        (row,) = await gateway.rows()
        assert (row["usage_basis"], row["cost_picousd"], row["cost_basis"]) == ("none", 0, "exact")

    paid = ScriptedProvider("paid", is_local=False, error=ProviderFailed("oops", upstream_status=500))
    run(tmp_path, go, paid, prices=PRICES)


@pytest.mark.parametrize("stream", [False, True])
def test_a_defect_is_settled_told_and_passed_on(tmp_path: Path, stream: bool) -> None:
    async def go(gateway: Inside) -> None:
        client = Client()
        with pytest.raises(ZeroDivisionError):
            await gateway.relay.serve(gateway.call(), ask("paid/dear", stream=stream), client.send, [])
        assert client.status == 500
        assert json.loads(client.body)["error"]["code"] == "internal_error"
        assert client.headers[b"connection"] == b"close", "as the server will"
        (row,) = await gateway.rows()
        assert (row["status"], row["error_code"]) == ("error", "internal_error")
        assert row["cost_picousd"] > 0
        assert gateway.places["paid"].taken == 0

    paid = ScriptedProvider("paid", is_local=False, error=ZeroDivisionError())
    run(tmp_path, go, paid, prices=PRICES)


def test_a_count_out_of_its_mind_costs_the_ceiling(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("paid/dear", max_tokens=10))
        (row,) = await gateway.rows()
        assert row["cost_basis"] == "upper_bound"
        assert 0 < row["cost_picousd"] < 10**12

    usage = Usage(input_tokens=2**52, output_tokens=2**52)
    run(tmp_path, go, ScriptedProvider("paid", is_local=False, usage=usage), prices=PRICES)


@pytest.mark.parametrize("model", ["paid/a\nb", "paid/\x1b[31m", "a\u202eb", "\x7f"])
def test_a_model_that_can_not_be_printed_is_refused(tmp_path: Path, model: str) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask(model))
        assert client.status == 400

    run(tmp_path, go, ScriptedProvider("paid", is_local=False), prices=PRICES)


async def until_pinged(client: Client) -> None:
    while not client.body:
        await asyncio.sleep(0.005)


def test_a_quiet_stream_is_pinged_and_then_goes_on(tmp_path: Path) -> None:
    client = Client()

    async def after_a_ping() -> bytes:
        await until_pinged(client)
        return delta("hi")

    async def go(gateway: Inside) -> None:
        await gateway.relay.serve(gateway.call(), ask(stream=True), client.send, [])
        assert client.body.startswith(b": ping\n\n")
        assert client.body.endswith(delta("hi") + DONE)

    run(tmp_path, go, ScriptedProvider("home", steps=[after_a_ping, DONE]), ping_after=0.05)


def test_after_a_ping_an_error_comes_as_an_event(tmp_path: Path) -> None:
    client = Client()

    async def after_a_ping() -> bytes:
        await until_pinged(client)
        raise ProviderFailed("oops")

    async def go(gateway: Inside) -> None:
        await gateway.relay.serve(gateway.call(), ask(stream=True), client.send, [])
        assert client.status == 200
        assert b'data: {"error":' in client.body
        assert client.is_ended

    run(tmp_path, go, ScriptedProvider("home", steps=[after_a_ping]), ping_after=0.05)


@pytest.mark.parametrize(
    ("raw", "token", "status", "code"),
    [
        (b"{", TOKEN, 400, "invalid_json"),
        (ask("nobody"), TOKEN, 404, "model_not_found"),
        (ask("home/m"), replace(TOKEN, models=("claude-*",)), 403, "model_not_allowed"),
        (ask("paid/dear"), replace(TOKEN, is_local_only=True), 403, "model_not_allowed"),
        (ask("home/m", temperature=9), TOKEN, 400, "invalid_value"),
    ],
)
def test_a_refused_request_makes_one_row_that_costs_nothing(
    tmp_path: Path, raw: bytes, token: AccessToken, status: int, code: str
) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(raw, token=token)
        assert client.status == status
        assert json.loads(client.body)["error"]["code"] == code
        (row,) = await gateway.rows()
        assert (row["status"], row["http_status"], row["error_code"]) == ("refused", status, code)
        assert (row["cost_picousd"], row["provider"]) == (0, None)

    run(tmp_path, go, ScriptedProvider("home"), ScriptedProvider("paid", is_local=False), prices=PRICES)


def test_an_image_from_elsewhere_is_shown_to_no_local_model(tmp_path: Path) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x"}}]}]

    async def go(gateway: Inside) -> None:
        assert (await gateway.ask(ask(messages=image))).status == 400
        client = await gateway.ask(ask("fast", messages=image))
        assert client.headers[b"x-chatvault-route"] == b"paid/dear"

    home, paid = ScriptedProvider("home"), ScriptedProvider("paid", is_local=False)
    run(tmp_path, go, home, paid, aliases=FAST, prices=PRICES)
    assert not home.requests


def test_a_local_only_access_token_does_not_fall_back_to_a_paid_route(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask("fast"), token=replace(TOKEN, is_local_only=True))
        assert client.status == 502

    home, paid = (
        ScriptedProvider("home", error=ProviderUnreachable("down")),
        ScriptedProvider("paid", is_local=False),
    )
    run(tmp_path, go, home, paid, aliases=FAST, prices=PRICES)
    assert not paid.requests


def test_a_probe_makes_no_row(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask(), token=replace(TOKEN, id=PROBE_ID))
        assert client.status == 200
        assert await gateway.rows() == []

    run(tmp_path, go, ScriptedProvider("home"))


def test_beyond_the_places_and_the_queue_there_is_a_503(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        first = asyncio.ensure_future(gateway.ask(ask(stream=True)))
        await until(lambda: home.requests)
        client = await gateway.ask(ask(stream=True))
        assert client.status == 503
        assert b"retry-after" in client.headers
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert sorted(row["status"] for row in await gateway.rows()) == ["cancelled", "refused"]

    home = ScriptedProvider("home", steps=[for_ever])
    run(tmp_path, go, home, limit=1, queue_seconds=0.05)


def test_dropped_fields_are_named_to_the_client(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        client = await gateway.ask(ask(web_search_options={}))
        assert client.headers[b"x-chatvault-dropped"] == b"web_search_options"

    run(tmp_path, go, ScriptedProvider("home"))


def test_usage_of_a_failed_attempt_is_not_charged_to_the_next(tmp_path: Path) -> None:
    async def go(gateway: Inside) -> None:
        await gateway.ask(ask("fast", stream=True))
        (row,) = await gateway.rows()
        assert (row["output_tokens"], row["usage_basis"]) == (3, "provider")

    home = ScriptedProvider(
        "home", steps=[ProviderTimeout("silent")], usage=Usage(input_tokens=99, output_tokens=99)
    )
    run(tmp_path, go, home, ScriptedProvider("paid", is_local=False), aliases=FAST, prices=PRICES)
