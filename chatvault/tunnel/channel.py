"""An SSH channel as an asyncio transport: what an HTTP protocol is served over, without a socket."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from chatvault.tunnel.fair_link import FairLink

# What a slow device has yet to be sent may stand behind a whole window of sshd's: no less than the guard's
# patience with one that does not read. How fast it has to read is the guard's to say.
_LINGER_SECONDS = 60.0
_HIGH_BYTES = 65_536
_LOW_BYTES = 16_384


class Channel(Protocol):
    """The part of asyncssh's TCP channel that is used."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class ChannelTransport(asyncio.Transport):
    """Carry one device's connection over an SSH channel.

    `peer` and `local` are (address, port); `doorway` is what the connection came in by, for whoever asks with
    `get_extra_info`; `on_end` is called once, when the connection is over.
    """

    __slots__ = (
        "_channel",
        "_high",
        "_is_channel_full",
        "_is_closing",
        "_is_lost",
        "_is_protocol_paused",
        "_is_reading_paused",
        "_linger",
        "_link",
        "_loop",
        "_low",
        "_on_end",
        "_out",
        "_out_bytes",
        "_protocol",
        "_wants_eof",
        "bytes_in",
        "bytes_out",
    )

    def __init__(
        self,
        link: FairLink,
        channel: Channel,
        *,
        loop: asyncio.AbstractEventLoop,
        peer: tuple[str, int],
        local: tuple[str, int],
        doorway: object = None,
        on_end: Callable[["ChannelTransport"], None],
    ) -> None:
        super().__init__({"peername": peer, "sockname": local, "doorway": doorway})
        self._link = link
        self._channel = channel
        self._loop = loop
        self._on_end = on_end
        self._protocol: asyncio.BaseProtocol | None = None
        # A list and slots: an idle connection is a hundred bytes, not two thousand.
        self._out: list[bytes | memoryview] = []
        self._out_bytes = 0
        self._high, self._low = _HIGH_BYTES, _LOW_BYTES
        self._is_closing = self._is_lost = self._wants_eof = False
        self._is_reading_paused = self._is_channel_full = self._is_protocol_paused = False
        self._linger: asyncio.TimerHandle | None = None
        self.bytes_in = self.bytes_out = 0

    # Both protocols of asyncio's kind are set here: an HTTP protocol, or TLS with one above it.

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand everything that arrives to `protocol`."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol in charge."""
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        """Whether the connection is over, or about to be."""
        return self._is_closing

    # --- from the device

    def is_reading(self) -> bool:
        """Whether data is taken."""
        return not self._is_reading_paused and not self._is_closing

    def pause_reading(self) -> None:
        """Take no more data for now: the SSH window closes, and the device's TCP connection stands still."""
        if not self._is_reading_paused and not self._is_closing:
            self._is_reading_paused = True
            self._channel.pause_reading()

    def resume_reading(self) -> None:
        """Take data again."""
        if self._is_reading_paused:
            self._is_reading_paused = False
            # asyncssh delivers what it kept within this very call: not into a parser that is still at work.
            self._loop.call_soon(self._resume_channel)

    def _resume_channel(self) -> None:
        if not self._is_reading_paused and not self._is_closing:
            self._channel.resume_reading()

    def feed(self, data: bytes) -> None:
        """Hand on what the device sent."""
        self.bytes_in += len(data)
        protocol = self._protocol
        if self._is_closing or protocol is None:
            return
        if isinstance(protocol, asyncio.BufferedProtocol):
            left = memoryview(data)
            while left and not self._is_closing:
                buffer: Any = protocol.get_buffer(len(left))
                size = min(len(buffer), len(left))
                buffer[:size] = left[:size]
                protocol.buffer_updated(size)
                left = left[size:]
        else:
            assert isinstance(protocol, asyncio.Protocol)
            protocol.data_received(data)

    def feed_eof(self) -> None:
        """Hand on that the device sends no more; a protocol that does not want to go on ends it here."""
        if self._is_closing or self._protocol is None:
            return
        protocol: Any = self._protocol
        if not protocol.eof_received():
            self.close()

    # --- to the device

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue data; it leaves when the link has a turn for this channel."""
        if self._is_closing or not data:
            return
        if self._wants_eof:
            raise RuntimeError("a write after write_eof")
        piece = data if isinstance(data, bytes) else bytes(data)
        self.bytes_out += len(piece)
        self._out.append(piece)
        self._out_bytes += len(piece)
        if not self._is_channel_full:
            self._link.submit(self)
        if self._out_bytes > self._high:
            self._pause_protocol()

    def send_some(self, limit: int) -> bool:
        """Give the channel at most `limit` bytes; return whether more can go now."""
        if self._is_lost:
            return False
        parts: list[bytes | memoryview] = []
        size = 0
        while self._out and size < limit:
            piece = self._out.pop(0)
            if size + len(piece) > limit:
                cut = limit - size
                # A long piece is not copied once for every turn it takes.
                self._out.insert(0, memoryview(piece)[cut:])
                piece = memoryview(piece)[:cut]
            parts.append(piece)
            size += len(piece)
        if parts:
            self._out_bytes -= size
            only = parts[0]
            try:
                data = only if len(parts) == 1 and isinstance(only, bytes) else b"".join(parts)
                self._link.write(self._channel, data)
            except OSError:
                # The channel has ended on the other side; `connection_lost` is on its way.
                self._drop_output()
        if self._out_bytes <= self._low and not self._is_channel_full:
            self._resume_protocol()
        if not self._out:
            self._finish_output()
            return False
        return not self._is_channel_full

    def _finish_output(self) -> None:
        if self._is_closing:
            self._channel.close()
            self._loop.call_soon(self._end_if_sent)
        elif self._wants_eof:
            self._channel.write_eof()

    def channel_is_full(self) -> None:
        """Take note that the channel's window is used up."""
        self._is_channel_full = True
        self._pause_protocol()

    def channel_has_room(self) -> None:
        """Go on: the device has taken what was in flight."""
        self._is_channel_full = False
        if self._out:
            self._link.submit(self)
        elif self._is_closing:
            self._loop.call_soon(self._end_if_sent)
        else:
            self._resume_protocol()

    def _pause_protocol(self) -> None:
        if not self._is_protocol_paused and not self._is_closing and self._protocol is not None:
            self._is_protocol_paused = True
            self._protocol.pause_writing()

    def _resume_protocol(self) -> None:
        if self._is_protocol_paused and not self._is_lost and self._protocol is not None:
            self._is_protocol_paused = False
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait."""
        return self._out_bytes + self._channel.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the low and the high mark."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol is told to pause and to go on."""
        if high is None:
            high = 4 * low if low is not None else _HIGH_BYTES
        self._high, self._low = high, low if low is not None else high // 4

    def can_write_eof(self) -> bool:
        """Return True: SSH channels close by halves as TCP does."""
        return True

    def write_eof(self) -> None:
        """Send no more, once everything queued has left."""
        if self._wants_eof or self._is_closing:
            return
        self._wants_eof = True
        if not self._out:
            self._channel.write_eof()

    # --- the end

    def close(self) -> None:
        """End once everything queued has left; a device that takes none of it for 60 s is cut."""
        if self._is_closing:
            return
        self._is_closing = True
        self._linger_on(self.get_write_buffer_size())
        if not self._out:
            self._channel.close()
            self._loop.call_soon(self._end_if_sent)

    def _linger_on(self, waiting: int) -> None:
        self._linger = self._loop.call_later(_LINGER_SECONDS, self._cut_if_not_taken, waiting)

    def _cut_if_not_taken(self, before: int) -> None:
        """Look again in a while if the device has taken some of what waited."""
        waiting = self.get_write_buffer_size()
        if waiting < before:
            self._linger_on(waiting)
        else:
            self.abort()

    def _end_if_sent(self) -> None:
        # The device's half may stay open for as long as it likes; a socket's transport would not wait either.
        if not self._out and self._channel.get_write_buffer_size() == 0:
            self.end(None)

    def abort(self) -> None:
        """End now; what is queued is lost."""
        if self._is_lost:
            return
        self._is_closing = True
        self._drop_output()
        self._channel.abort()
        self._loop.call_soon(self.end, None)

    def _force_close(self, exc: BaseException | None) -> None:
        # asyncio's TLS calls this name on any transport it dislikes the end of.
        self.abort()

    def end(self, exc: Exception | None) -> None:
        """Tell the protocol that the connection is over; `exc` says why, None where it ended well."""
        if self._is_lost:
            return
        self._is_lost = self._is_closing = True
        if self._linger is not None:
            self._linger.cancel()
        self._drop_output()
        self._link.forget(self)
        self._on_end(self)
        # The two hold each other: thousands of dead ones would wait for the garbage collector, TLS and all.
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(exc)

    def _drop_output(self) -> None:
        self._out.clear()
        self._out_bytes = 0
