"""The names of asyncssh that are not its public API, each asked for before it is used.

Without any of them the tunnel works, but with a longer send queue, a larger hold on the relay's memory, or no
proof of life after sleep.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import asyncssh

# Past this much unsent data the link counts as full, and the fair scheduler decides what goes next.
_SEND_QUEUE_BYTES = 65_536
_SEND_QUEUE_LOW_BYTES = 16_384
_CORK_BYTES = 16_384
# RFC 4253, 12.
_MSG_IGNORE = 2


def take_over_flow_control(
    link: asyncssh.SSHClientConnection, *, pause: Callable[[], None], resume: Callable[[], None]
) -> None:
    """Be told when the link's send queue is full and when it has room.

    The two names are asyncio's; asyncssh answers them with nothing.
    """
    changed: Any = link
    changed.pause_writing = pause
    changed.resume_writing = resume
    transport = _transport(link)
    if transport is not None:
        transport.set_write_buffer_limits(high=_SEND_QUEUE_BYTES, low=_SEND_QUEUE_LOW_BYTES)


def skip_empty_packets(link: asyncssh.SSHClientConnection) -> None:
    """Leave out the empty packet that asyncssh sends before every other one.

    It hides the next IV of CBC ciphers (RFC 4251, 9.3.1), which are not spoken here; with AES-GCM it takes a
    quarter of the link's rate and protects nothing.
    """
    changed: Any = link
    send = getattr(changed, "send_packet", None)
    if send is None or "gcm" not in str(link.get_extra_info("send_cipher")):
        return

    def send_packet(pkttype: int, *args: bytes, handler: Any = None) -> None:
        if pkttype != _MSG_IGNORE:
            send(pkttype, *args, handler=handler)

    changed.send_packet = send_packet


class Cork:
    """Write the packets of one turn of the event loop to the socket at once, instead of one by one.

    asyncssh sends each packet, and an empty one before it, by a system call of its own.
    """

    def __init__(self, link: asyncssh.SSHClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._packets: list[bytes] = []
        self._size = 0
        self._is_scheduled = False
        changed: Any = link
        self._send: Callable[[bytes], None] | None = getattr(changed, "_send", None)
        if self._send is not None:
            changed._send = self._keep

    def _keep(self, packet: bytes) -> None:
        self._packets.append(packet)
        self._size += len(packet)
        if self._size >= _CORK_BYTES:
            # Flow control has to hear of what is written while it is being written.
            self.flush()
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        self._is_scheduled = False
        self.flush()

    def flush(self) -> None:
        """Write what there is."""
        if self._packets and self._send is not None:
            data = b"".join(self._packets)
            self._packets.clear()
            self._size = 0
            self._send(data)


def acknowledge_at_once(link: asyncssh.SSHClientConnection, connection: socket.socket) -> None:
    """Have the kernel acknowledge what the relay sends without its usual 40 ms of patience.

    sshd leaves Nagle's algorithm on for a session without a terminal, so its next packet waits for our
    acknowledgement of the last. Linux forgets the option after a while: it is set again with each piece.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    transport = _transport(link)
    if option is None or transport is None:
        return
    receive = link.data_received

    def data_received(data: bytes, datatype: None = None) -> None:
        receive(data, datatype)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)
        except OSError:
            # The connection has ended; its protocol is told by other means.
            pass

    changed: Any = link
    changed.data_received = data_received
    # uvloop keeps the bound method it found when the protocol was set.
    transport.set_protocol(link)


def cap_send_window(channel: Any, limit: int) -> None:
    """Keep no more than `limit` bytes of one channel in flight, for good: later adjustments are relative.

    sshd grants 2 MiB, and keeps what its client does not take: 200 clients that stop reading cost it 371 MB.
    It adjusts after every 96 KiB; a server that waits until half of its window is used would wait for ever,
    so the cap is for OpenSSH alone.
    """
    window = getattr(channel, "_send_window", None)
    version = channel.get_extra_info("server_version", b"")
    name = version if isinstance(version, bytes) else str(version).encode()
    if isinstance(window, int) and b"OpenSSH" in name:
        channel._send_window = min(window, limit)


async def prove_alive(link: asyncssh.SSHClientConnection) -> bool:
    """Make the relay answer once; return False where this asyncssh can't. The caller sets the time limit."""
    ask = getattr(link, "_make_global_request", None)
    if ask is None:
        return False
    await ask(b"keepalive@openssh.com")
    return True


def _transport(link: asyncssh.SSHClientConnection) -> asyncio.Transport | None:
    found = getattr(link, "_transport", None)
    return found if isinstance(found, asyncio.Transport) else None
