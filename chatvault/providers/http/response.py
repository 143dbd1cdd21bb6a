"""An answer as its reader sees it: pieces as they come, and an end that is told from a break."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from chatvault.errors import ChatVaultError, ProviderBroke, ProviderFailed
from chatvault.providers.http.decoding import Decoder, decoder_for
from chatvault.providers.http.incoming import Incoming

MEBIBYTE = 1 << 20


class Wire(Protocol):
    """What an answer asks of the connection it comes over."""

    loop: asyncio.AbstractEventLoop

    def restart_clock(self) -> None:
        """Count the silence from now on."""

    def resume(self) -> None:
        """Take in bytes again, if that was stopped."""

    def abandon(self) -> None:
        """Cut the connection; the answer has already parted from it."""


class Response(Incoming):
    """An upstream's answer. `headers` have lower-case names; `is_retry`: a stale connection came first.

    `is_wanted` says that the reader has dealt with all that came.

    One reader at a time. Cancelling a read cuts the connection at once: who only wants to wait a while keeps
    the read in a task and uses `asyncio.wait`.
    """

    __slots__ = ("_decoder", "_told", "_waiter", "connection", "is_retry", "is_wanted")

    def __init__(self, label: str, *, is_bodiless: bool = False) -> None:
        super().__init__(label, is_bodiless=is_bodiless)
        self.is_retry = False
        self.is_wanted = False
        self.connection: Wire | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._told: Callable[[], None] | None = None
        self._decoder: Decoder | None = None

    def header(self, name: bytes) -> str | None:
        """Return the first header of this lower-case name, None where there is none."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None

    async def wait_head(self) -> None:
        """Wait for the status and headers. Raises ProviderUnreachable, ProviderTimeout, ProviderFailed."""
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._wait()

    def decode_content(self) -> None:
        """Have `read` undo a content-encoding. Raises ProviderFailed for one that we can't undo."""
        for name, _ in self.headers:
            if name == b"content-encoding":
                break
        else:
            return
        if self.is_done and not self.parts:
            return
        try:
            self._decoder = decoder_for(self.headers, self.label)
        except ProviderFailed:
            self.close()
            raise

    async def read(self) -> bytes:
        """Return what has come since the last read, as soon as there is something; b"" at the end.

        Raises ProviderBroke where the answer breaks off, ProviderTimeout after too long a silence,
        ProviderFailed for what can't be decoded; each only after everything that came before was read.
        """
        while (data := self.take()) is None:
            await self._wait()
        return data

    def take(self) -> bytes | None:
        """Return what `read` would, None where it would wait. Raises as `read` does."""
        data = self._take()
        if self._decoder is not None:
            data = self._decoded(self._decoder, data)
        if data:
            self.is_wanted = False
            return data
        if self.error is not None:
            raise self.error
        if not self.is_done:
            # Not before: a reader that is held up by its own client shall not have more waiting here.
            self.is_wanted = True
            if self.connection is not None:
                self.connection.resume()
            return None
        if self._decoder is not None:
            self._decoder.finish()
        return b""

    def notify(self, told: Callable[[], None] | None) -> None:
        """Have `told` called whenever `take` may have something new, in place of waking a reader."""
        self._told = told

    async def read_all(self, limit: int = 64 * MEBIBYTE) -> bytes:
        """Return the rest of the body. Raises as `read` does, and ProviderFailed beyond `limit` bytes."""
        if self.is_done and self._decoder is None and self.error is None and self.unread <= limit:
            return self._take()
        pieces: list[bytes] = []
        size = 0
        while data := await self.read():
            size += len(data)
            if size > limit:
                self.close()
                raise ProviderFailed(f"{self.label}: the answer is larger than {limit} bytes")
            pieces.append(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def payload_seen(self) -> None:
        """Start the silence clock anew: for requests made with `manual_clock=True`."""
        if self.connection is not None:
            self.connection.restart_clock()

    def close(self) -> None:
        """Let go of the answer: what has not wholly arrived is cut off at once. Never raises."""
        self.parts = []
        self.unread = 0
        if self.connection is not None:
            self.fail(ProviderBroke(f"{self.label}: the answer was closed on this side"))

    def fail(self, error: ChatVaultError) -> None:
        """End the answer with an error, and its connection with it."""
        connection = self.connection
        if self.error is None:
            self.error = error
        self.detach()
        if connection is not None:
            connection.abandon()
        self.wake()

    def detach(self) -> None:
        """Part from the connection: nothing more will come."""
        self.connection = None
        self.parser = None

    def wake(self) -> None:
        """Let the reader look again."""
        if self._told is not None:
            self._told()
            return
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self) -> None:
        connection = self.connection
        if connection is None or self._waiter is not None:
            raise RuntimeError("an answer has one reader, and only while it lasts")
        self._waiter = connection.loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self._waiter = None
            self.close()
            raise

    def _decoded(self, decoder: Decoder, data: bytes) -> bytes:
        try:
            while data or decoder.has_pending:
                if decoded := decoder.decode(data):
                    return decoded
                data = self._take()
        except ProviderFailed as exc:
            self.fail(exc)
            raise
        return b""

    def _take(self) -> bytes:
        parts = self.parts
        if not parts:
            return b""
        self.parts = []
        self.unread = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)
