"""Which prompts and answers are kept, and what is heard of them. Off unless an access token asks for it."""

import logging
from collections.abc import Callable
from typing import Literal

from chatvault.core.access import AccessToken
from chatvault.core.ledger import Status
from chatvault.errors import StoreError
from chatvault.gateway.auth import PROBE_ID
from chatvault.store.content import Content, ContentVault
from chatvault.store.writer import Store

Level = Literal["off", "errors", "full"]

# A longer answer is kept up to here: the row is for reading, not for replaying.
_MOST_BYTES = 4 << 20


_log = logging.getLogger("chatvault.audit")


class Transcript:
    """What a client sent, and what it is being answered."""

    __slots__ = ("_answer", "_size", "is_full", "request")

    def __init__(self, request: bytes, *, is_full: bool) -> None:
        self.request = request
        self.is_full = is_full
        self._answer: list[bytes] = []
        self._size = 0

    def heard(self, data: bytes) -> None:
        """Take a piece of the answer."""
        if self._size < _MOST_BYTES:
            self._answer.append(data)
            self._size += len(data)

    def content(self) -> Content:
        """Return both as text."""
        answer = b"".join(self._answer)[:_MOST_BYTES]
        return Content(self.request.decode(errors="replace"), answer.decode(errors="replace"))


class Contents:
    """Keep contents: `default` is for access tokens that don't say anything."""

    def __init__(
        self, store: Store, vault: ContentVault, *, default: Level, now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._vault = vault
        self._default = default
        self._now_ms = now_ms

    def begin(self, token: AccessToken, request: bytes) -> Transcript | None:
        """Return what listens to a request; None where nothing of it may be kept."""
        level = token.content or self._default
        if level == "off" or token.id == PROBE_ID:
            return None
        return Transcript(request, is_full=level == "full")

    def keep(self, request_id: str, transcript: Transcript, status: Status) -> None:
        """Keep what was heard, if it is to be: with `errors`, only of requests that went wrong."""
        if transcript.is_full or status not in (Status.OK, Status.CANCELLED):
            try:
                self._store.keep(self._vault.seal(request_id, transcript.content(), now_ms=self._now_ms()))
            except StoreError as exc:
                # The request itself is in the ledger; that its content can't be kept changes nothing for it.
                _log.error("the content of %s can't be kept: %s", request_id, exc.message)
