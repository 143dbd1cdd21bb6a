import asyncio
from collections.abc import Callable
from typing import Any, cast

from chatvault.providers.http.clock import SilenceClock
from tests.providers.http.conftest import Run
from tests.support.waiting import until


class HandMoved:
    """A loop with nothing but a clock, which a test moves by hand."""

    def __init__(self) -> None:
        self._now = 0.0
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, call: Callable[[], None]) -> Any:
        timer = (when, call)
        self._timers.append(timer)
        return _Handle(lambda: self._timers.remove(timer))

    def move(self, seconds: float) -> None:
        self._now += seconds
        while due := [timer for timer in self._timers if timer[0] <= self._now]:
            self._timers.remove(due[0])
            due[0][1]()


class _Handle:
    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel


def hand_moved() -> tuple[SilenceClock, HandMoved, list[float]]:
    loop, calls = HandMoved(), list[float]()
    return (
        SilenceClock(cast(asyncio.AbstractEventLoop, loop), lambda: calls.append(loop.time())),
        loop,
        calls,
    )


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


def test_what_passes_while_it_is_held_does_not_count() -> None:
    clock, loop, calls = hand_moved()
    clock.set(10)
    loop.move(4)
    clock.hold()
    loop.move(1000)
    clock.go_on()
    loop.move(5.5)
    assert not calls
    loop.move(1)
    assert calls == [1010.5]


def test_a_clock_that_is_started_anew_while_it_is_held_has_its_whole_limit_after_that() -> None:
    clock, loop, calls = hand_moved()
    clock.set(10)
    loop.move(9)
    clock.hold()
    clock.restart()
    loop.move(8)
    clock.go_on()
    loop.move(9.5)
    assert not calls
    loop.move(1)
    assert len(calls) == 1


def test_a_clock_without_a_limit_may_be_held_too() -> None:
    clock, loop, calls = hand_moved()
    clock.set(None)
    clock.hold()
    clock.go_on()
    loop.move(1e9)
    assert not calls
