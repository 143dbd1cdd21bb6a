"""Tests of the places and the queue of a provider."""

import asyncio

import pytest

from chatvault.errors import RequestError
from chatvault.gateway.places import Places


def test_a_free_place_is_taken_at_once_and_given_back() -> None:
    async def go() -> None:
        places = Places("p", limit=2, queue_seconds=1)
        await places.enter()
        await places.enter()
        assert not places.try_enter()
        places.leave()
        assert places.try_enter()
        assert places.taken == 2

    asyncio.run(go())


def test_without_a_limit_there_is_always_a_place() -> None:
    places = Places("p", limit=None, queue_seconds=1)
    assert all(places.try_enter() for _ in range(1000))


def test_a_place_passes_to_who_has_waited_longest() -> None:
    async def go() -> list[str]:
        places = Places("p", limit=1, queue_seconds=5)
        await places.enter()
        order: list[str] = []

        async def wait(name: str) -> None:
            await places.enter()
            order.append(name)
            places.leave()

        tasks = [asyncio.ensure_future(wait(name)) for name in ("first", "second")]
        await asyncio.sleep(0)
        assert places.waiting == 2
        assert not places.try_enter()
        places.leave()
        await asyncio.gather(*tasks)
        assert places.taken == 0
        return order

    assert asyncio.run(go()) == ["first", "second"]


def test_who_waits_too_long_is_told_when_to_come_back() -> None:
    async def go() -> None:
        places = Places("ollama", limit=1, queue_seconds=0.01)
        await places.enter()
        with pytest.raises(RequestError) as refused:
            await places.enter()
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert refused.value.retry_after is not None
        assert places.waiting == 0
        places.leave()
        assert places.taken == 0

    asyncio.run(go())


@pytest.mark.parametrize("when", ["waiting", "just called"])
def test_who_leaves_the_queue_loses_no_place(when: str) -> None:
    async def go() -> None:
        places = Places("p", limit=1, queue_seconds=5)
        await places.enter()
        waiting = asyncio.ensure_future(places.enter())
        await asyncio.sleep(0)
        if when == "just called":
            places.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if when == "waiting":
            places.leave()
        assert (places.taken, places.waiting) == (0, 0)

    asyncio.run(go())
