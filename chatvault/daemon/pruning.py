"""What the daemon does for `audit prune`: the archive in a thread, the removal in small steps."""

import asyncio

from chatvault.config.places import Places
from chatvault.control.audit import pruned_json
from chatvault.control.server import Handler
from chatvault.core.json_types import JsonObject
from chatvault.errors import UsageError
from chatvault.store import prune
from chatvault.store.signing import Signer, TrustedKeys
from chatvault.store.writer import Store


class Pruning:
    """Prune the audit chain, one at a time."""

    def __init__(self, store: Store, places: Places) -> None:
        self._store = store
        self._places = places
        self._one_at_a_time = asyncio.Lock()

    def routes(self) -> dict[tuple[str, str], Handler]:
        """Return what the control socket offers."""
        return {("POST", "/v1/audit/prune"): self._prune}

    async def _prune(self, body: JsonObject) -> JsonObject:
        before_ms = body.get("before_ms")
        if not isinstance(before_ms, int):
            raise UsageError("before_ms is in epoch milliseconds", hint="chatvault audit prune --keep 90d")
        keys_dir = self._places.keys_dir
        async with self._one_at_a_time:
            plan = await asyncio.to_thread(
                prune.prepare,
                self._places.database,
                self._places.archive_dir,
                before_ms=before_ms,
                signer=Signer(keys_dir),
                keys=TrustedKeys.read(keys_dir),
            )
            await self._store.submit(lambda tx: prune.record(tx, plan, self._store.checkpoint))
            while await self._store.submit(prune.take_out, durable=False):
                # Requests go first.
                await asyncio.sleep(0.01)
            await self._store.submit(self._store.checkpoint)
        return pruned_json(plan.archive.path, plan.archive.signature, plan.archive.stretch)
