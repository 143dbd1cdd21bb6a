"""Tests of the catalog of models."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from chatvault.core.routing import Route
from chatvault.errors import ProviderUnreachable, RequestError
from chatvault.gateway.catalog import Catalog
from chatvault.providers.base import ModelInfo
from tests.support.gateway import TOKEN, ScriptedProvider


class Lister(ScriptedProvider):
    """A provider whose list can be slow or fail."""

    wait_for_list: Callable[[], Awaitable[object]] | None = None
    list_error: ProviderUnreachable | None = None
    asked = 0

    async def models(self) -> tuple[ModelInfo, ...]:
        self.asked += 1
        if self.wait_for_list is not None:
            await self.wait_for_list()
        if self.list_error is not None:
            raise self.list_error
        return await super().models()


def catalog(*providers: Lister) -> Catalog:
    aliases = {"fast": [Route("home", "m", True)]}
    return Catalog({each.name: each for each in providers}, aliases, clock=time.monotonic)


def test_whatever_is_listed_may_be_asked_by_the_same_access_token() -> None:
    async def go(glob: str) -> set[str]:
        known = catalog(Lister("home", listed=("m", "n")), Lister("away", listed=("n",), is_local=False))
        await known.refresh()
        token = replace(TOKEN, models=(glob,))
        listed = {each.name for each in known.listed(token)}
        for name in listed:
            assert await known.routes(name, token)
        return listed

    assert asyncio.run(go("m")) == {"home/m", "fast"}
    assert asyncio.run(go("n")) == {"home/n", "away/n"}
    assert asyncio.run(go("home/*")) == {"home/m", "home/n", "fast"}
    assert asyncio.run(go("fast")) == {"fast"}
    assert asyncio.run(go("nothing")) == set()


def test_a_silent_provider_does_not_hold_up_a_name_nobody_knows() -> None:
    async def go() -> float:
        silent = Lister("silent")
        silent.wait_for_list = lambda: asyncio.sleep(3600)
        known = catalog(Lister("home", listed=("m",)), silent)
        started = time.monotonic()
        with pytest.raises(RequestError) as refused:
            await known.routes("nope", TOKEN)
        assert refused.value.status == 404
        assert await known.routes("m", TOKEN) == (Route("home", "m", True),)
        return time.monotonic() - started

    assert asyncio.run(go()) < 5


def test_a_name_asked_for_while_the_list_is_on_its_way_is_found() -> None:
    async def go() -> None:
        home = Lister("home", listed=("m",))
        home.wait_for_list = lambda: asyncio.sleep(0.05)
        known = catalog(home)
        found = await asyncio.gather(known.routes("m", TOKEN), known.routes("m", TOKEN))
        assert found[0] == found[1] == (Route("home", "m", True),)
        assert home.asked == 1

    asyncio.run(go())


def test_a_provider_that_is_down_keeps_its_last_list() -> None:
    async def go() -> None:
        home = Lister("home", listed=("m",))
        known = catalog(home)
        await known.refresh()
        home.list_error = ProviderUnreachable("no connection")
        await known.refresh(older_than=0)
        assert known.failures == {"home": "no connection"}
        assert await known.routes("m", TOKEN)

    asyncio.run(go())


def test_a_bare_name_of_two_providers_names_both() -> None:
    async def go() -> None:
        known = catalog(Lister("home", listed=("n",)), Lister("away", listed=("n",)))
        await known.refresh()
        with pytest.raises(RequestError, match="away/n or home/n"):
            await known.routes("n", TOKEN)

    asyncio.run(go())
