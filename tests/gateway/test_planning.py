import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from chatvault.core.chat import CacheTtl, ChatRequest, ImagePart, Message, TextPart, Tool
from chatvault.core.pricing import PriceBook, override
from chatvault.core.routing import Route
from chatvault.gateway.planning import Planner, _has_remote_image, _longest_cache
from chatvault.gateway.price_list import PriceList
from tests.support.gateway import ScriptedProvider, inside

PLAIN = Message("user", "hello")


@pytest.mark.parametrize(
    ("marks", "longest"),
    [((None,), None), (("5m", None), "5m"), (("1h", "5m"), "1h"), (("5m", "1h"), "1h"), ((None, "1h"), "1h")],
)
@pytest.mark.parametrize("place", ["tools", "messages", "parts"])
def test_the_longest_cache_counts_wherever_it_is_asked_for(
    marks: tuple[CacheTtl | None, ...], longest: CacheTtl | None, place: str
) -> None:
    tools = tuple(Tool("f", cache=mark) for mark in marks) if place == "tools" else ()
    marked = [Message("user", "x", cache=mark) for mark in marks] if place == "messages" else []
    if place == "parts":
        marked = [Message("user", tuple(TextPart("x", mark) for mark in marks))]
    request = ChatRequest("m", (PLAIN, *marked, Message("assistant")), tools=tools)
    assert _longest_cache(request) == longest


@pytest.mark.parametrize(
    ("url", "is_remote"), [("data:image/png;base64,AA==", False), ("https://a.example/x.png", True)]
)
def test_a_remote_image_is_seen_among_parts(url: str, is_remote: bool) -> None:
    request = ChatRequest("m", (PLAIN, Message("user", (TextPart("look"), ImagePart(url))), PLAIN))
    assert _has_remote_image(request) == is_remote


class Restoring(ScriptedProvider):
    """A provider that puts a thought of 30,000 characters back into what clients send."""

    def restored(self, request: ChatRequest) -> ChatRequest:
        return replace(request, messages=(*request.messages, Message("assistant", reasoning="x" * 30_000)))


def test_thinking_that_is_put_back_is_held_as_input(tmp_path: Path) -> None:
    prices = PriceList(PriceBook([override("m", input=Decimal(1), output=Decimal(1))]), lambda card: None)
    plain, restoring = (kind("p", is_local=False) for kind in (ScriptedProvider, Restoring))

    async def go() -> None:
        async with inside(tmp_path) as gateway:
            request = ChatRequest("p/m", (PLAIN,), max_tokens=10)
            ceilings = [
                Planner({"p": provider}, prices)
                .plan(gateway.call(), request, [Route("p", "m", False)])
                .hold.ceiling_picousd
                or 0
                for provider in (plain, restoring)
            ]
            assert ceilings[1] - ceilings[0] >= 30_000 * 10**6

    asyncio.run(go())
