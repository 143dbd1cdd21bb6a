"""What a relay may send down its link, honest or not, and what it comes to here."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from chatvault.tunnel import listener
from chatvault.tunnel.link import Link
from chatvault.tunnel.listener import Doorway
from tests.support.ssh_server import SshHost, open_link, ssh_host
from tests.support.waiting import until


class _Session(asyncssh.SSHTCPSession[bytes]):
    pass


class _Kept(asyncio.Protocol):
    """A connection that is served nothing; `made` keeps each."""

    def __init__(self, made: "list[_Kept]") -> None:
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.peer = transport.get_extra_info("peername")


class _There:
    """A link, and the relay at its other end."""

    def __init__(self, host: SshHost, link: Link, doorway: Doorway, made: list[_Kept]) -> None:
        self.host, self.link, self.doorway, self.made = host, link, doorway, made

    async def open(self, *, origin: tuple[str, int] = ("203.0.113.9", 1), more_port: int = 0) -> Any:
        """Open a channel from the relay, as for a device at `origin`."""
        relay = self.host.relay
        channel, _ = await self.host.connections[0].create_connection(
            _Session, relay.bind, relay.public_port + more_port, *origin, encoding=None
        )
        return channel

    async def is_alive(self) -> None:
        """Fail unless the link still serves."""
        assert await self.link.round_trip(seconds=20) is not None
        before = len(self.made)
        await self.open()
        assert len(self.made) == before + 1


def _with(folder: Path, body: Callable[[_There], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        made: list[_Kept] = []
        async with asyncio.timeout(60), ssh_host(folder) as host:
            link, doorway = await open_link(host.relay, lambda: _Kept(made))
            await body(_There(host, link, doorway, made))
            await link.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        (("203.0.113.9", 4711), ("203.0.113.9", 4711)),
        (("2001:DB8::0:1", 4711), ("2001:db8::1", 4711)),
        (("fe80::1%eth0", 4711), ("fe80::1", 4711)),
        (("::ffff:203.0.113.9", 4711), ("203.0.113.9", 4711)),
        (("203.0.113.9", 2**32 - 1), ("203.0.113.9", 65_535)),
        (("", 4711), ("unknown", 0)),
        (("UNKNOWN", 65_535), ("unknown", 0)),
        (("a line\r\nof its own", 1), ("unknown", 0)),
        (("9" * 30_000, 1), ("unknown", 0)),
        (("::1%" + "x" * 30_000, 1), ("::1", 1)),
    ],
)
def test_a_device_has_an_address_or_none(
    tmp_path: Path, told: tuple[str, int], taken: tuple[str, int]
) -> None:
    async def body(there: _There) -> None:
        await there.open(origin=told)
        assert there.made[0].peer == taken

    _with(tmp_path, body)


def test_a_channel_for_another_port_is_refused(tmp_path: Path) -> None:
    async def body(there: _There) -> None:
        with pytest.raises(asyncssh.ChannelOpenError):
            await there.open(more_port=1)
        await there.is_alive()

    _with(tmp_path, body)


def test_a_relay_that_closes_no_channel_gets_no_more_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_MOST_UNCLOSED", 3)

    async def body(there: _There) -> None:
        channels = [await there.open() for _ in range(3)]
        for channel in channels:
            # It is silent about the end, as the channels of a session that hangs are.
            channel.send_packet = lambda *_, **__: None
        for kept in there.made:
            assert isinstance(kept.transport, asyncio.Transport)
            kept.transport.abort()
        await until(lambda: not there.doorway.traffic.open)
        with pytest.raises(asyncssh.ChannelOpenError):
            await there.open()
        assert await there.link.round_trip(seconds=20) is not None

    _with(tmp_path, body)


def test_channels_that_are_closed_leave_nothing_behind(tmp_path: Path) -> None:
    async def body(there: _There) -> None:
        for channel in [await there.open() for _ in range(5)]:
            channel.close()
        await until(lambda: there.doorway.held == 0)
        await there.is_alive()
        there.host.drop_all()
        await until(lambda: there.doorway.held == 0)

    _with(tmp_path, body)


@pytest.mark.parametrize("part", ["cap_send_window", "ChannelTransport"])
def test_a_connection_that_can_not_be_served_is_closed_and_the_link_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    async def body(there: _There) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(listener, part, fail)
            channel = await there.open()
            async with asyncio.timeout(20):
                await channel.wait_closed()
        await until(lambda: there.doorway.held == 0)
        assert there.made == []
        await there.is_alive()

    _with(tmp_path, body)
