"""Kept prompts and answers: forgotten when their time is up, shown to whoever may ask."""

import asyncio
from collections.abc import Callable

from chatvault.control.server import Handler
from chatvault.core.json_types import JsonObject
from chatvault.store import content
from chatvault.store.content import ContentVault
from chatvault.store.writer import Store

_EVERY_SECONDS = 600.0


class KeptContents:
    """What the daemon does with contents beside keeping them."""

    def __init__(self, store: Store, vault: ContentVault, *, days: int, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._vault = vault
        self._days = days
        self._now_ms = now_ms

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Return what the control socket offers."""
        return {("POST", "/v1/content"): self._read}

    async def forget(self) -> None:
        """Delete keys and rows whose time is up, for as long as the daemon runs."""
        while True:
            gone = await asyncio.to_thread(self._vault.expire, days=self._days, now_ms=self._now_ms())
            while await self._store.submit(lambda tx: content.forget(tx, days=self._days), durable=False):
                await asyncio.sleep(0.01)
            if gone:
                await self._store.record("content.expired", {"keys": list(gone)})
            await asyncio.sleep(_EVERY_SECONDS)

    async def _read(self, body: JsonObject) -> JsonObject:
        request_id = str(body.get("request_id", ""))
        sealed = await self._store.submit(lambda tx: content.read(tx, request_id))
        found = await asyncio.to_thread(self._vault.open, sealed)
        return {"request": found.request, "answer": found.answer}
