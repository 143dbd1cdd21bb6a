"""Server-sent events, cut out of a byte stream wherever it was cut before.

`EventFramer` turns reads into whole events, still as bytes; `payloads` takes the data out of them;
`EventSplitter` does both. The rules are the HTML standard's (9.2, "Server-sent events"): LF, CRLF and CR end
a line, one byte-order mark may stand first, a line that opens with a colon is a comment, several `data`
lines make one payload. One thing is kinder than the standard: an event whose closing blank line never came
is not lost (`finish`), since some servers end so.
"""

EVENT_LIMIT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grew beyond the limit before it ended."""


class EventFramer:
    """Hold back the unfinished end of a stream.

    `feed` returns the whole events that have come, with LF as the line end. Nothing is looked at twice,
    however finely an event was cut.
    """

    __slots__ = ("_ends_with_cr", "_ends_with_lf", "_limit", "_pieces", "_size", "_start")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._start: bytes | None = b""
        self._ends_with_cr = False
        self._ends_with_lf = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held back."""
        return not self._pieces

    @property
    def is_comment(self) -> bool:
        """Whether what is held back begins as a comment: no sign of life in the answer itself."""
        return bool(self._pieces) and self._pieces[0].lstrip(b"\n")[:1] == b":"

    def feed(self, data: bytes) -> bytes:
        """Return the whole events that `data` completes, b"" where none. Raises EventTooLarge."""
        if self._start is not None:
            data = self._without_bom(data)
        if self._ends_with_cr or data.count(b"\r"):
            data = self._with_lf(data)
        if not data:
            return b""
        if data[-2:] == b"\n\n" and not self._pieces:
            return data
        if self._ends_with_lf and data[:1] == b"\n":
            # The blank line itself was cut in two: whole events end here at the least.
            cut = max(data.rfind(b"\n\n") + 2, 1)
        else:
            cut = data.rfind(b"\n\n") + 2
            if cut == 1:
                self._hold(data)
                return b""
        whole = data[:cut]
        if self._pieces:
            self._pieces.append(whole)
            whole = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
        self._ends_with_lf = False
        if cut < len(data):
            self._hold(data[cut:])
        return whole

    def finish(self) -> bytes:
        """Return what is held back as if a blank line had followed; b"" where nothing is."""
        rest = (self._start or b"") + b"".join(self._pieces)
        self._start = None
        self._pieces.clear()
        self._size = 0
        return rest.rstrip(b"\n") + b"\n\n" if rest.strip(b"\n") else b""

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise EventTooLarge(f"an event is larger than {self._limit} bytes")
        self._pieces.append(data)
        self._ends_with_lf = data[-1:] == b"\n"

    def _without_bom(self, data: bytes) -> bytes:
        start = (self._start or b"") + data
        if len(start) < len(_BOM) and _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        return start.removeprefix(_BOM)

    def _with_lf(self, data: bytes) -> bytes:
        # A CR at the end of one read and a LF at the start of the next are one line end.
        if self._ends_with_cr and data[:1] == b"\n":
            data = data[1:]
            self._ends_with_cr = False
        if data:
            self._ends_with_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def payloads(events: bytes) -> list[bytes]:
    """Return the data of each event in `events` that has any; `events` are whole, with LF as the line end."""
    found = []
    for event in events.split(b"\n\n"):
        if event[:6] == b"data: " and b"\n" not in event:
            found.append(event[6:])
        elif event:
            data = _data(event)
            if data is not None:
                found.append(data)
    return found


def _data(event: bytes) -> bytes | None:
    lines = []
    for line in event.split(b"\n"):
        if line[:5] == b"data:":
            lines.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines) if lines else None


class EventSplitter:
    """Split a byte stream into the payloads of its events."""

    __slots__ = ("_framer",)

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._framer = EventFramer(limit_bytes)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the payloads of the events that `data` completes. Raises EventTooLarge."""
        return payloads(self._framer.feed(data))

    def finish(self) -> list[bytes]:
        """Return the payload of an event that the stream's end left without its blank line."""
        return payloads(self._framer.finish())
