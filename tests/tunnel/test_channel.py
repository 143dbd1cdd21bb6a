"""A channel as a transport, where no real one is slow enough."""

import asyncio
from collections.abc import Callable
from typing import Any

from chatvault.gateway.guard import GuardLimits
from chatvault.tunnel.channel import ChannelTransport
from chatvault.tunnel.fair_link import FairLink


class _Full:
    """A channel whose device takes nothing more."""

    is_aborted = False

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.is_aborted = True

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class _Loop:
    """Takes down what is to happen when."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Callable[..., Any]]] = []

    def call_soon(self, work: Callable[..., Any], *args: Any) -> None:
        pass

    def call_later(self, seconds: float, work: Callable[..., Any], *args: Any) -> None:
        self.later.append((seconds, work))


def test_a_slow_device_has_as_long_for_the_rest_as_the_guard_gives_one_that_does_not_read() -> None:
    loop: Any = _Loop()
    channel: Any = _Full()
    transport = ChannelTransport(
        FairLink(loop), channel, loop=loop, peer=("203.0.113.9", 1), local=("", 0), on_end=lambda _: None
    )
    transport.set_protocol(asyncio.Protocol())
    transport.channel_is_full()
    transport.write(b"the rest of an answer")
    transport.close()
    [(seconds, cut)] = loop.later
    assert seconds >= GuardLimits().stall_seconds
    assert not channel.is_aborted
    cut()
    assert channel.is_aborted
