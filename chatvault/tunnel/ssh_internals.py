"""The names of asyncssh that are not its public API, each asked for before it is used.

Without any of them the tunnel works, but at half the speed, with a longer send queue, a larger hold on the
relay's memory, or no proof of life after sleep.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import asyncssh

from chatvault.tunnel.cork import Cork
from chatvault.tunnel.packet_cipher import TAG_BYTES, PacketCipher

# Past this much unsent data the link counts as full, and the fair scheduler decides what goes next.
_SEND_QUEUE_BYTES = 65_536
# It fills up again when all is with the kernel, which has 16 kB to go on with: at 16 kB left, a token beside
# four downloads took 114 ms instead of 87 on 10 Mbit/s, and they were no faster.
_SEND_QUEUE_LOW_BYTES = 0
# RFC 4253, 12 and RFC 4254, 9.
_MSG_IGNORE = 2
_MSG_CHANNEL_DATA = 94
# A data packet's beginning: the padding's length, the message's number, the channel's, the data's length.
_DATA = struct.Struct(">BBII")
_DATA_HEAD = struct.Struct(">BII")
_LENGTH_BYTES = 4
_SEQUENCE_MASK = (1 << 32) - 1
_KEEP_ALIVE_SECONDS = 0.5
# The lane goes by what these mean, too: another release is first to be looked at, and tested.
_LANE_RELEASE = "2.24."
_LANE_NAMES = (
    *("_inpbuf", "_packet", "_recv_handler", "_recv_pkthdr", "_recv_packet", "_recv_data", "_recv_seq"),
    *("_recv_encryption", "_decompressor", "_max_recv_pktlen", "_channels", "_transport"),
    *("_send", "_send_encryption", "_compressor", "_send_seq", "_kex_complete", "_reset_keepalive_timer"),
    *("_rekey_bytes", "_rekey_bytes_sent", "_rekey_seconds", "_rekey_time"),
)


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
    if hasattr(transport, "set_write_buffer_limits"):
        transport.set_write_buffer_limits(high=_SEND_QUEUE_BYTES, low=_SEND_QUEUE_LOW_BYTES)


def cork(link: asyncssh.SSHClientConnection, loop: asyncio.AbstractEventLoop) -> Cork:
    """Have the link's packets written together; asyncssh makes a system call for each."""
    changed: Any = link
    made = Cork(getattr(changed, "_send", _nowhere), loop)
    if hasattr(changed, "_send"):
        changed._send = made.keep
    return made


def _nowhere(data: bytes) -> None:
    raise AssertionError("nothing comes here that was not kept")


class DataLane:
    """The short way for packets that carry a channel's data, as nearly all do, where the cipher is AES-GCM.

    For each packet asyncssh sends an empty one before it, sets the key up anew, copies all that was read
    behind it, and words a line for a log that is off. All state stays asyncssh's own, and whatever else comes
    is left to it, packet by packet.
    """

    def __init__(self, link: asyncssh.SSHClientConnection, cork: Cork) -> None:
        changed: Any = link
        self._link: Any = link
        self._cork = cork
        self._kept_alive_at = 0.0
        is_known = asyncssh.__version__.startswith(_LANE_RELEASE)
        self._is_open = is_known and all(hasattr(link, name) for name in _LANE_NAMES)
        if self._is_open:
            self._receive, self._send = changed.data_received, changed.send_packet
            changed.send_packet = self._send_other
            _receive_by(link, self.data_received)

    def write(self, channel: Any, data: bytes) -> None:
        """Send a channel's data; what its window has no room for waits in the channel. Raises OSError."""
        link = self._link
        cipher = self._cipher("_send_encryption") if self._is_open else None
        if (
            cipher is None
            or getattr(channel, "_send_state", "") != "open"
            or channel._send_buf
            or len(data) > channel._send_window
            or len(data) > channel._send_pktsize
            or not link._kex_complete
            or link._rekey_bytes_sent >= link._rekey_bytes
            or (link._rekey_seconds and time.monotonic() >= link._rekey_time)
        ):
            channel.write(data)
            return
        channel._send_window -= len(data)
        length, sealed = cipher.seal(_DATA_HEAD.pack(_MSG_CHANNEL_DATA, channel._send_chan, len(data)), data)
        link._send_seq = (link._send_seq + 1) & _SEQUENCE_MASK
        link._rekey_bytes_sent += len(sealed)
        self._cork.keep_until_flush(length, sealed)

    def _send_other(self, pkttype: int, *args: bytes, handler: Any = None) -> None:
        # The empty packet hides the next IV of CBC ciphers (RFC 4251, 9.3.1); AES-GCM needs no such thing.
        if pkttype != _MSG_IGNORE or self._cipher("_send_encryption") is None:
            self._send(pkttype, *args, handler=handler)

    def data_received(self, data: bytes, datatype: None = None) -> None:
        """Hand on what the relay sent."""
        link = self._link
        cipher = self._opener()
        if cipher is None:
            self._receive(data, datatype)
            return
        self._keep_alive()
        data, link._inpbuf = link._inpbuf + data, b""
        at, end = 0, len(data)
        while end - at > _LENGTH_BYTES:
            length = data[at : at + _LENGTH_BYTES]
            size = int.from_bytes(length, "big")
            stop = at + _LENGTH_BYTES + size + TAG_BYTES
            if size > link._max_recv_pktlen:
                stop = end
            elif stop > end:
                break
            elif self._is_taken(cipher, length, data[at + _LENGTH_BYTES : stop]):
                at = stop
                continue
            link._inpbuf = data[at:stop]
            link._recv_data()
            at, cipher = stop, self._opener()
            if cipher is None:
                break
        link._inpbuf += data[at:]
        if cipher is None and link._transport is not None:
            link._recv_data()

    def _is_taken(self, cipher: PacketCipher, length: bytes, sealed: bytes) -> bool:
        """Deliver a packet, if it is a channel's data and there is nothing else to it."""
        plain = cipher.look(length, sealed)
        if plain is None or len(plain) <= _DATA.size or plain[1] != _MSG_CHANNEL_DATA:
            return False
        padding, _, number, size = _DATA.unpack_from(plain)
        channel = self._link._channels.get(number)
        if (
            _DATA.size + size + padding != len(plain)
            or getattr(channel, "_recv_state", "") != "open"
            or not 0 < size <= channel._recv_window
        ):
            return False
        cipher.move_on()
        self._link._recv_seq = (self._link._recv_seq + 1) & _SEQUENCE_MASK
        channel._accept_data(plain[_DATA.size : _DATA.size + size])
        return True

    def _opener(self) -> PacketCipher | None:
        """Return what opens the next packet, None where that is asyncssh's work."""
        link = self._link
        cipher = self._cipher("_recv_encryption")
        if cipher is None or link._transport is None:
            return None
        if link._recv_handler == link._recv_packet:
            # It has taken the next one's first block, which AES-GCM leaves as it is: back with it.
            link._inpbuf, link._packet = link._packet + link._inpbuf, b""
            link._recv_handler = link._recv_pkthdr
        return cipher if link._recv_handler == link._recv_pkthdr else None

    def _cipher(self, name: str) -> PacketCipher | None:
        """Return the cipher of one direction, made from asyncssh's where the keys are new."""
        found = getattr(self._link, name)
        if type(found) is PacketCipher:
            return found
        inner = getattr(found, "_cipher", None)
        key, nonce = getattr(inner, "_key", None), getattr(inner, "_iv", None)
        if "GCM" not in type(inner).__name__ or not isinstance(key, bytes) or not isinstance(nonce, bytes):
            return None
        if self._link._compressor or self._link._decompressor:
            return None
        made = PacketCipher(key, nonce)
        setattr(self._link, name, made)
        return made

    def _keep_alive(self) -> None:
        # asyncssh sets its timer anew with whatever comes; a second's fraction is no matter to it.
        now = time.monotonic()
        if now - self._kept_alive_at > _KEEP_ALIVE_SECONDS:
            self._kept_alive_at = now
            self._link._reset_keepalive_timer()


def acknowledge_at_once(link: asyncssh.SSHClientConnection, connection: socket.socket) -> None:
    """Have the kernel acknowledge what the relay sends without its usual 40 ms of patience.

    sshd leaves Nagle's algorithm on for a session without a terminal, so its next packet waits for our
    acknowledgement of the last. Linux forgets the option after a while: it is set again with each piece.
    """
    option = getattr(socket, "TCP_QUICKACK", None)
    if option is None:
        return
    receive = link.data_received

    def data_received(data: bytes, datatype: None = None) -> None:
        receive(data, datatype)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)
        except OSError:
            # The connection has ended; its protocol is told by other means.
            pass

    _receive_by(link, data_received)


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


def _receive_by(link: asyncssh.SSHClientConnection, receive: Callable[[bytes, None], None]) -> None:
    changed: Any = link
    changed.data_received = receive
    set_protocol = getattr(_transport(link), "set_protocol", None)
    if set_protocol is not None:
        # uvloop keeps the bound method it found when the protocol was set.
        set_protocol(link)


def _transport(link: asyncssh.SSHClientConnection) -> Any:
    # A transport of uvloop's is no asyncio.Transport; over a hop it is that hop's channel.
    return getattr(link, "_transport", None)
