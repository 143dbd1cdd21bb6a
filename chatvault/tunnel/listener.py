"""What sshd's forwarded connections become: one guarded session each, served by the protocol it is given."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import asyncssh

from chatvault.tunnel.channel import ChannelTransport
from chatvault.tunnel.fair_link import FairLink
from chatvault.tunnel.ssh_internals import cap_send_window

if TYPE_CHECKING:
    Session = asyncssh.SSHTCPSession[bytes]
else:
    Session = asyncssh.SSHTCPSession

_log = logging.getLogger("chatvault.tunnel")
# sshd reads as much of it as 32 KiB at once into a buffer that stays until the channel ends: a used one costs
# the relay 33 kB. A window of 4 KiB makes that 5, and every prompt wait a round trip for each 4 KiB of it.
WINDOW_BYTES = 262_144
# What sshd holds of an answer whose device has stopped reading, each at most: 200 of them stay below 80 MB.
_SEND_WINDOW_BYTES = 229_376
# sshd closes a channel as soon as we have; each that is not closed holds a few kilobytes here.
_MOST_UNCLOSED = 4096
# A stranger's address in the logs and the ledger would be whatever the relay likes to write there.
_UNKNOWN = ("unknown", 0)
# How long a connection that was made before the end may take to ask for something, and how often is looked.
_FIRST_REQUEST_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# How long the word that an answer was cut may take to its client.
_LAST_WORD_SECONDS = 2.0
ProtocolFactory = Callable[[], asyncio.Protocol]
LetGo = Callable[["Doorway", bool], int]


class Traffic:
    """What has passed through the tunnel since the daemon started, over all its links."""

    def __init__(self) -> None:
        self._ended_in = self._ended_out = 0
        self.open: set[ChannelTransport] = set()

    def add(self, transport: ChannelTransport) -> None:
        """Count a new connection."""
        self.open.add(transport)

    def remove(self, transport: ChannelTransport) -> None:
        """Count a connection that is over."""
        if transport in self.open:
            self.open.discard(transport)
            self._ended_in += transport.bytes_in
            self._ended_out += transport.bytes_out

    @property
    def bytes_in(self) -> int:
        """Bytes from devices."""
        return self._ended_in + sum(each.bytes_in for each in self.open)

    @property
    def bytes_out(self) -> int:
        """Bytes to devices."""
        return self._ended_out + sum(each.bytes_out for each in self.open)


def _device(host: str, port: int) -> tuple[str, int]:
    """Return a device's address as the relay tells it, if it is one; IPv4 in IPv6's clothes is IPv4."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return _UNKNOWN
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), min(port, 65_535)


class Doorway:
    """Accept the relay's forwarded connections.

    `make_protocol` makes what serves one, TLS included; `local` is the public address and port;
    `admit` says whether one more connection from an address may come in; `let_go` has those that came in by
    this doorway end after their running answers, of which it returns the number, and may be asked to spare
    the ones that have not asked yet; `cut` has those answers end now, and their clients told. The device's
    address is the relay's word: good for limits and logs, never for permission.
    """

    def __init__(
        self,
        make_protocol: ProtocolFactory,
        traffic: Traffic,
        *,
        local: tuple[str, int],
        admit: Callable[[str], bool],
        let_go: LetGo = lambda doorway, are_fresh_spared: 0,
        cut: Callable[["Doorway"], object] = lambda doorway: None,
    ) -> None:
        self._make_protocol = make_protocol
        self.traffic = traffic
        self._local = local
        self._admit = admit
        self._let_go = let_go
        self._cut = cut
        self._open = 0
        self._sessions: set[ChannelSession] = set()

    @property
    def held(self) -> int:
        """How many channels asyncssh keeps: those that are open, and those the relay has yet to close."""
        return len(self._sessions)

    def keep(self, session: "ChannelSession") -> None:
        """Take note of a channel."""
        self._sessions.add(session)

    def forget(self, session: "ChannelSession") -> None:
        """Take note that the relay has closed a channel: the device has all that was sent to it."""
        self._sessions.discard(session)

    def session_factory(self, link: FairLink) -> Callable[[str, int], "ChannelSession"]:
        """Return what asyncssh calls for each connection."""

        def accept(host: str, port: int) -> ChannelSession:
            peer = _device(host, port)
            self._check_room(peer[0])
            return ChannelSession(self, link, peer)

        return accept

    def _check_room(self, host: str) -> None:
        # Before a byte is read or a handshake begun. Only this error leaves the link as it is.
        if self.held - self._open >= _MOST_UNCLOSED or not self._admit(host):
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, "too many connections")

    def open(self, link: FairLink, channel: Any, peer: tuple[str, int]) -> ChannelTransport:
        """Serve a new channel."""
        loop = asyncio.get_running_loop()
        # A channel takes what its window has room for; more would wait in a buffer of asyncssh's.
        channel.set_write_buffer_limits(high=0)
        cap_send_window(channel, _SEND_WINDOW_BYTES)
        transport = ChannelTransport(
            link,
            channel,
            loop=loop,
            peer=peer,
            local=self._local,
            doorway=self,
            on_end=self._ended,
        )
        self._open += 1
        self.traffic.add(transport)
        return transport

    def _ended(self, transport: ChannelTransport) -> None:
        self._open -= 1
        self.traffic.remove(transport)

    def serve(self, transport: ChannelTransport) -> None:
        """Put a protocol above a new transport."""
        protocol = self._make_protocol()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    async def drain(self, *, seconds: float, hurry: asyncio.Event) -> int:
        """Let running answers end, at most so long, or until `hurry`; cut and count the others."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            passed = loop.time() - began
            running = self._let_go(self, passed < _FIRST_REQUEST_SECONDS)
            # A channel that was opened a moment ago is a session in the loop's next turns.
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._sessions:
                return 0
            if passed >= seconds or hurry.is_set():
                break
        self._cut(self)
        began = loop.time()
        while self._sessions and loop.time() - began < _LAST_WORD_SECONDS:
            self._let_go(self, False)
            await asyncio.sleep(_LOOK_SECONDS)
        for session in list(self._sessions):
            session.abort()
        return running


class ChannelSession(Session):
    """Pass asyncssh's callbacks on to the transport, and let no error of one connection out of it.

    asyncssh ends the whole link, with every device on it, for an exception in any one of these.
    """

    def __init__(self, doorway: Doorway, link: FairLink, peer: tuple[str, int]) -> None:
        self._doorway = doorway
        self._link = link
        self._peer = peer
        self._channel: Any = None
        self._transport: ChannelTransport | None = None

    def connection_made(self, chan: Any) -> None:
        """Start serving."""
        self._channel = chan
        self._doorway.keep(self)

        def start() -> None:
            self._transport = self._doorway.open(self._link, chan, self._peer)
            self._doorway.serve(self._transport)

        self._guarded(start)

    def data_received(self, data: bytes, datatype: Any) -> None:
        """Hand on what the device sent."""
        if self._transport is not None:
            try:
                self._transport.feed(data)
            except Exception as exc:
                self._give_up(exc)

    def eof_received(self) -> bool:
        """Hand on that the device sends no more. True: asyncssh shall not answer that by itself."""
        if self._transport is not None:
            self._guarded(self._transport.feed_eof)
        return True

    def pause_writing(self) -> None:
        """Hold back: the channel's window is used up."""
        if self._transport is not None:
            self._guarded(self._transport.channel_is_full)

    def resume_writing(self) -> None:
        """Go on."""
        if self._transport is not None:
            self._guarded(self._transport.channel_has_room)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the protocol: the device has left, or the whole link is gone."""
        self._doorway.forget(self)
        if self._transport is not None:
            self._guarded(self._transport.end, exc)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()
        else:
            # Nothing came of it: there is no more than the channel.
            self._channel.abort()

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except Exception as exc:
            self._give_up(exc)

    def _give_up(self, exc: Exception) -> None:
        _log.error("a connection through the tunnel failed inside", exc_info=exc)
        self.abort()
