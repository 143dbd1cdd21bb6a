"""The chunks of one OpenAI-shaped stream, each read and put into OpenAI's shape as far as it can be."""

import msgspec

from chatvault.providers.openai_calls import ToolCalls
from chatvault.providers.openai_chunk import Chunk, decode_chunk
from chatvault.providers.openai_mending import CHUNK, mend_chunk, needs_mending
from chatvault.providers.sse_out import fresh_id
from chatvault.providers.wire import UNREADABLE, whole_characters


class ChunkReader:
    """Read chunks, and remember what the later ones are mended by.

    `own_id` is the answer's id where the server gives it none.
    """

    __slots__ = ("_calls", "_names", "own_id")

    def __init__(self) -> None:
        self.own_id: str | None = None
        self._calls: dict[int, ToolCalls] = {}
        self._names: dict[str, object] = {}

    def read(self, payload: bytes, *, has_begun: bool) -> tuple[Chunk, bytes]:
        """Return a chunk and its payload: the same object where nothing was to be mended.

        `has_begun` says that text came before. Raises one of UNREADABLE.
        """
        chunk = None
        try:
            chunk = decode_chunk(payload)
            if not needs_mending(chunk):
                return chunk, payload
        except msgspec.ValidationError:
            pass
        except UNREADABLE:
            whole = whole_characters(payload)
            if whole is payload:
                raise
            return self.read(whole, has_begun=has_begun)
        if self.own_id is None:
            self.own_id = fresh_id()
            self._names = {"id": self.own_id, "object": CHUNK, "created": 0, "model": ""}
        try:
            mended = mend_chunk(payload, self._calls, names=self._names, has_begun=has_begun)
        except UNREADABLE:
            if chunk is None:
                raise
            # What can't be read stands where nobody looks.
            return chunk, payload
        return decode_chunk(mended), mended
