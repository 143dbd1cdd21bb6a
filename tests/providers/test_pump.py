"""A stream driven by what comes gives what reading it gives, whoever can't take more in between."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import ProviderBroke, ProviderError
from chatvault.providers.openai_stream import OpenAIStream
from chatvault.providers.pump import Pump
from tests.support.answers import FakeAnswer, cut
from tests.support.openai_events import DONE, HI, STOP


class Dripping(FakeAnswer):
    """An answer whose pieces come one a turn of the event loop."""

    def __init__(self, *pieces: bytes | ProviderError) -> None:
        super().__init__(*pieces)
        self.has_come = False
        self.told: Callable[[], None] | None = None

    def take(self) -> bytes | None:  # type: ignore[override]  # what has not come yet can't be taken
        if not self.has_come:
            return None
        self.has_come = False
        return super().take()

    def notify(self, told: Callable[[], None] | None) -> None:
        self.told = told

    async def read(self) -> bytes:
        while (data := self.take()) is None:
            self.has_come = True
            await asyncio.sleep(0)
        return data

    async def drip(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.has_come = True
            if self.told is not None:
                self.told()


async def _pumped(stream: OpenAIStream, answer: Dripping, take: Callable[[bytes], bool]) -> list[bytes]:
    """Relay a stream: what isn't taken is sent by us, and then the pump goes on."""
    dripping = asyncio.create_task(answer.drip())
    out = []
    try:
        events = await stream.read()
        while events:
            out.append(events)
            if events.endswith(DONE):
                break
            events = await stream.pump(lambda each: take(each) and (out.append(each) is None))
        return out
    finally:
        dripping.cancel()


@given(st.lists(st.integers(0, 1000), max_size=12), st.lists(st.booleans(), max_size=8))
def test_it_gives_what_reading_gives_whatever_is_taken(cuts: list[int], takes: list[bool]) -> None:
    body = HI * 5 + STOP + DONE
    answer = Dripping(*cut(body, cuts))
    stream = OpenAIStream(answer, provider="up", include_usage=False)
    takes = list(takes)

    out = asyncio.run(_pumped(stream, answer, lambda _: takes.pop() if takes else True))

    assert b"".join(out) == body
    assert stream.meter.deltas == 5
    assert answer.told is None


def test_what_came_before_an_error_is_handed_out_and_the_error_raised_next() -> None:
    answer = Dripping(HI, HI, ProviderBroke("up broke off its answer"))
    stream = OpenAIStream(answer, provider="up", include_usage=False)
    taken: list[bytes] = []

    async def main() -> None:
        with pytest.raises(ProviderBroke):
            await _pumped(stream, answer, lambda each: taken.append(each) is None)

    asyncio.run(main())
    assert taken == [HI]
    assert answer.told is None


def test_an_end_without_a_finish_reason_is_a_break() -> None:
    answer = Dripping(HI, HI)
    stream = OpenAIStream(answer, provider="up", include_usage=False)
    with pytest.raises(ProviderBroke):
        asyncio.run(_pumped(stream, answer, lambda _: True))


def test_a_defect_in_whoever_takes_reaches_whoever_waits() -> None:
    answer = Dripping(HI, HI, HI)
    stream = OpenAIStream(answer, provider="up", include_usage=False)

    def take(events: bytes) -> bool:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        asyncio.run(_pumped(stream, answer, take))


def test_a_source_that_tells_of_its_own_failure_is_heard_once() -> None:
    class Failing(Dripping):
        is_broken = has_told = False

        def take(self) -> bytes | None:  # type: ignore[override]  # as above
            if not self.is_broken:
                return None
            # What a connection does that is cut because its answer can't be decompressed.
            if self.told is not None and not self.has_told:
                self.has_told = True
                self.told()
            raise ProviderBroke("up can't be decompressed")

    async def main() -> None:
        answer = Failing()
        pump = Pump(answer, bytes, is_over=lambda: False, take=lambda _: True)
        waiting = asyncio.create_task(pump.run())
        await asyncio.sleep(0)
        answer.is_broken = True
        assert answer.told is not None
        answer.told()
        with pytest.raises(ProviderBroke, match="decompressed"):
            await waiting

    asyncio.run(main())


def test_whoever_is_cancelled_hears_no_more() -> None:
    answer = Dripping(HI)

    async def main() -> None:
        pump = Pump(answer, bytes, is_over=lambda: False, take=lambda _: True)
        waiting = asyncio.create_task(pump.run())
        await asyncio.sleep(0)
        assert answer.told is not None
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert answer.told is None

    asyncio.run(main())
