"""A channel as a transport, where no real one is slow enough."""

import asyncio
from collections.abc import Callable
from typing import Any

from chatvault.daemon.http_server import HttpServer
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts
from chatvault.tunnel.channel import ChannelTransport
from chatvault.tunnel.fair_link import FairLink


class _Full:
    """A channel whose device takes nothing more."""

    is_aborted = False
    waiting = 0

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.is_aborted = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Loop:
    """Takes down what is to happen when."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[..., Any], int]] = []

    def call_soon(self, work: Callable[..., Any], *args: Any) -> None:
        pass

    def call_later(self, seconds: float, work: Callable[..., Any], before: int) -> None:
        self.later.append((seconds, work, before))


def closing() -> tuple[_Loop, _Full]:
    """Return the loop and the channel of a transport that closes behind a device that is slow."""
    loop: Any = _Loop()
    channel: Any = _Full()
    channel.waiting = 1000
    transport = ChannelTransport(
        FairLink(loop), channel, loop=loop, peer=("203.0.113.9", 1), local=("", 0), on_end=lambda _: None
    )
    transport.set_protocol(asyncio.Protocol())
    transport.channel_is_full()
    transport.write(b"the rest of an answer")
    transport.close()
    return loop, channel


def test_a_device_that_takes_some_of_the_rest_goes_on_having_time() -> None:
    loop, channel = closing()
    for _ in range(3):
        channel.waiting -= 300
        _, look, before = loop.later.pop()
        look(before)
        assert not channel.is_aborted
    _, look, before = loop.later.pop()
    look(before)
    assert channel.is_aborted and not loop.later


def test_a_slow_device_has_as_long_for_the_rest_as_the_guard_gives_one_that_does_not_read() -> None:
    loop, channel = closing()
    [(seconds, cut, before)] = loop.later
    assert seconds >= GuardLimits().stall_seconds
    assert not channel.is_aborted
    cut(before)
    assert channel.is_aborted


def test_a_device_that_reads_slowly_but_steadily_is_not_cut_and_one_that_stops_is() -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"1000000"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(1_000_000)})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard, channel = Guard(GuardLimits(), Hosts()), _Full()
        transport = ChannelTransport(
            FairLink(loop),
            channel,  # type: ignore[arg-type]  # what it lacks is answered by `__getattr__`
            loop=loop,
            peer=("203.0.113.9", 1),
            local=("", 0),
            on_end=lambda _: None,
        )
        protocol = HttpServer(answer, [], guard=guard).protocol_factory(via="tunnel")()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        transport.feed(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        while not transport.is_closing():
            await asyncio.sleep(0)
        transport.channel_is_full()
        for tick in range(400):
            if tick % 50 == 0:
                # A window of the relay's: what it has room for, when it has.
                transport.send_some(16_384)
            guard.sweep()
        assert not channel.is_aborted
        for _ in range(guard.stall_ticks):
            guard.sweep()
        assert channel.is_aborted
        # The transport's last callback.
        await asyncio.sleep(0)
        assert len(guard) == 0

    asyncio.run(main())
