import asyncio

from chatvault.providers.http.clock import SilenceClock
from tests.providers.http.conftest import Run
from tests.support.waiting import until


def test_it_calls_once_when_its_limit_is_over(run: Run) -> None:
    async def main() -> None:
        calls: list[float] = []
        loop = asyncio.get_running_loop()
        clock = SilenceClock(loop, lambda: calls.append(loop.time()))
        began = loop.time()
        clock.set(0.05)
        await until(lambda: calls)
        await asyncio.sleep(0.15)
        assert len(calls) == 1
        assert calls[0] - began >= 0.049

    run(main())


def test_a_restart_puts_it_off(run: Run) -> None:
    async def main() -> None:
        calls: list[float] = []
        loop = asyncio.get_running_loop()
        clock = SilenceClock(loop, lambda: calls.append(loop.time()))
        clock.set(0.6)
        for _ in range(5):
            await asyncio.sleep(0.15)
            clock.restart()
        last = loop.time()
        await until(lambda: calls)
        assert len(calls) == 1
        assert calls[0] - last >= 0.599

    run(main())


def test_a_shorter_limit_holds_at_once_and_none_is_for_ever(run: Run) -> None:
    async def main() -> None:
        calls: list[None] = []
        clock = SilenceClock(asyncio.get_running_loop(), lambda: calls.append(None))
        clock.set(60)
        clock.set(0.02)
        clock.set(None)
        await asyncio.sleep(0.05)
        assert not calls
        clock.set(0.02)
        await until(lambda: calls)
        clock.set(0.02)
        clock.stop()
        await asyncio.sleep(0.05)
        assert len(calls) == 1

    run(main())


def test_many_restarts_need_no_timers(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock = SilenceClock(loop, lambda: None)
        clock.set(60)
        timer = clock._timer
        for _ in range(100):
            clock.restart()
            clock.set(60)
        assert clock._timer is timer
        clock.stop()

    run(main())
