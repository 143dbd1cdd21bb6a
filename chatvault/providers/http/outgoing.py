"""A request on its way out: slices of a large body, each sent when the one before has drained."""

import asyncio

SLICE = 256 * 1024
# Up to here copying is cheaper than a second write.
_SMALL = 64 * 1024


class Outgoing:
    """The sending half of a connection.

    Driven by the transport's callbacks, not by a task: so the answer may begin, be read and end while the
    request is still being sent.
    """

    __slots__ = ("_drained", "_rest", "can_write", "is_whole", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.WriteTransport | None = None
        self._rest: memoryview | None = None
        self._drained: asyncio.Future[None] | None = None
        self.can_write = True
        self.is_whole = True

    @property
    def is_stuck(self) -> bool:
        """Whether bytes wait for the other side to take some."""
        return self._rest is not None or not self.can_write

    @property
    def is_over(self) -> bool:
        """Whether the whole request is out."""
        return self.is_whole and self._rest is None and self.can_write

    def start(self, head: bytes, body: bytes, *, is_whole: bool) -> None:
        """Send a head and a body, a large one in slices; `send` brings more unless the request `is_whole`."""
        self.is_whole = is_whole
        transport = self.transport
        assert transport is not None, "nothing is sent before there is a connection"
        if len(body) <= _SMALL:
            transport.write(head + body)
            return
        transport.write(head)
        self._rest = memoryview(body)
        self._push()

    def send(self, data: bytes) -> None:
        """Send a further piece."""
        if self.transport is not None:
            self.transport.write(data)

    def drop(self) -> None:
        """Forget what was not sent yet."""
        self._rest = None
        self.release()

    def resume(self) -> None:
        """Go on."""
        self.can_write = True
        self.release()
        self._push()

    async def wait(self) -> None:
        """Wait for `release`."""
        self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    def release(self) -> None:
        """Let whoever waits look again."""
        if self._drained is not None:
            if not self._drained.done():
                self._drained.set_result(None)
            self._drained = None

    def _push(self) -> None:
        while self._rest is not None and self.can_write and self.transport is not None:
            piece, rest = self._rest[:SLICE], self._rest[SLICE:]
            self._rest = rest if rest else None
            self.transport.write(piece)
