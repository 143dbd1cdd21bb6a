"""What the parser makes of an answer's bytes: status, headers, pieces of the body, and how it ends."""

from typing import Any

from chatvault.errors import ChatVaultError, ProviderFailed

HEAD_LIMIT = 64 * 1024


class Unwanted(Exception):
    """The parser met what nobody asked for: stops it, and is never seen outside."""


class Incoming:
    """An answer as it arrives. The parser calls the `on_` methods, by names of its choosing.

    `status` is 0 until the head is whole; `parts` are the body's pieces that nobody has read yet, `unread`
    their bytes. `is_done` says that all has come, `is_keepable` that the connection may serve again after.
    """

    __slots__ = (
        "_head_bytes",
        "error",
        "has_begun",
        "headers",
        "is_bodiless",
        "is_done",
        "is_keepable",
        "label",
        "parser",
        "parts",
        "status",
        "unread",
    )

    def __init__(self, label: str, *, is_bodiless: bool) -> None:
        self.label = label
        self.is_bodiless = is_bodiless
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.parts: list[bytes] = []
        self.unread = 0
        self.error: ChatVaultError | None = None
        self.has_begun = False
        self.is_done = False
        self.is_keepable = False
        # llhttp's parser of this answer alone: nothing of one answer can so get into the next.
        self.parser: Any = None
        self._head_bytes = 0

    def count_head(self, size: int) -> bool:
        """Count bytes of a read that began before the head was whole; False when there are too many.

        Interim answers count: a server may not send them for ever.
        """
        self._head_bytes += size
        if self._head_bytes <= HEAD_LIMIT:
            return True
        # That read may have held much of the body as well.
        return (
            bool(self.status)
            and sum(len(name) + len(value) + 4 for name, value in self.headers) <= HEAD_LIMIT
        )

    def ends_with_connection(self) -> bool:
        """Tell whether the body is one that the connection's end completes (RFC 9112, 6.3, rule 8)."""
        if not self.status:
            return False
        for name, value in self.headers:
            if name == b"content-length":
                return False
            if name == b"transfer-encoding" and value.lower().endswith(b"chunked"):
                return False
        return True

    def on_message_begin(self) -> None:
        """Refuse a second answer that nobody asked for."""
        if self.is_done:
            raise Unwanted

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers, which come after the status, are dropped."""
        if not self.status:
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Take the status; interim answers (100, 103) are skipped with their headers."""
        status = self.parser.get_status_code()
        if status < 200:
            self.headers = []
            if status == 101:
                self.error = ProviderFailed(f"{self.label}: it changed the protocol (101) unasked")
                raise Unwanted
            return
        self.status = status
        if self.is_bodiless:
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self.is_done:
            raise Unwanted
        self.parts.append(data)
        self.unread += len(data)

    def on_message_complete(self) -> None:
        """Note the end, unless it is an interim answer's."""
        if self.status and not self.is_done:
            self.is_done = True
            self.is_keepable = self.parser.should_keep_alive()
