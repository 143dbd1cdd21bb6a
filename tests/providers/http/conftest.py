"""Both loops that ChatVault may run on."""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from tests.support.certificates import Authority

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Run a test's coroutine to its end, within 30 s, leaving no task and no unclosed transport behind."""

    def run_it(main: Coroutine[Any, Any, None]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(30):
                await main
            for _ in range(400):
                if asyncio.all_tasks() == {asyncio.current_task()}:
                    return
                await asyncio.sleep(0.005)
            raise AssertionError(f"left behind: {asyncio.all_tasks() - {asyncio.current_task()}}")

        request.param(whole())

    yield run_it
    # What was not closed warns when it is collected, and warnings are errors.
    gc.collect(1)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority that nobody else trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))
