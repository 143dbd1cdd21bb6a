"""Prices while the daemon runs: your own are set, and settled requests are priced anew."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from chatvault.config.prices import price_overrides
from chatvault.control.prices import PriceOrder, price_json
from chatvault.control.server import Handler
from chatvault.core.accounts import Accounts
from chatvault.core.json_types import JsonObject
from chatvault.core.money import usd_text
from chatvault.core.pricing import Override, RateCard
from chatvault.daemon.reload import Reloader
from chatvault.errors import UsageError
from chatvault.store import prices, repricing
from chatvault.store.reader import Reader
from chatvault.store.repricing import NewCost, Repricing
from chatvault.store.writer import Store

_AT_ONCE = 1000


class PriceDesk:
    """Keep the prices that were set by command (`own`), and tell the engine in use of every change."""

    def __init__(self, store: Store, accounts: Accounts, *, database: Path) -> None:
        self._store = store
        self._accounts = accounts
        self._database = database
        self.own: tuple[Override, ...] = ()

    async def load(self) -> None:
        """Take over what the database says. Raises StoreError."""
        self.own = await self._store.submit(lambda tx: prices.everything(tx.connection), durable=False)

    def routes(self, reloader: Reloader) -> Mapping[tuple[str, str], Handler]:
        """Return every handler by its method and path; `reloader` knows the engine in use."""

        async def set_price(body: JsonObject) -> JsonObject:
            order = PriceOrder.from_json(body)
            new = order.override
            if new is None:
                await self._store.submit(lambda tx: prices.take_back(tx, order.model))
            else:
                await self._store.submit(lambda tx: prices.add(tx, new))
            await self.load()
            reloader.engine.prices.use((*price_overrides(reloader.settings.prices), *self.own))
            return price_json(order)

        async def reprice(body: JsonObject) -> JsonObject:
            return await self._reprice(body, reloader)

        return {("POST", "/v1/prices"): set_price, ("POST", "/v1/prices/reprice"): reprice}

    async def _reprice(self, body: JsonObject, reloader: Reloader) -> JsonObject:
        since_ms, until_ms, model = body.get("since_ms"), body.get("until_ms"), body.get("model")
        if not isinstance(since_ms, int) or not isinstance(until_ms, int):
            raise UsageError("since_ms and until_ms are epoch milliseconds")
        engine = reloader.engine

        def find(provider: str, model: str, at_ms: int) -> RateCard | None:
            known = engine.providers.get(provider)
            return None if known is None else engine.prices.find(provider, known.kind, model, at_ms=at_ms)

        def look() -> Repricing:
            with Reader.open(self._database) as reader:
                return repricing.reprice(
                    reader.connection,
                    find,
                    since_ms=since_ms,
                    until_ms=until_ms,
                    model=None if model is None else str(model),
                )

        await self._store.flush()
        found = await asyncio.to_thread(look)
        if not body.get("dry_run"):
            for start in range(0, len(found.changes), _AT_ONCE):
                await self._write_down(found.changes[start : start + _AT_ONCE])
        return repricing_json(found)

    async def _write_down(self, changes: tuple[NewCost, ...]) -> None:
        for card in {change.card.id: change.card for change in changes}.values():
            self._store.remember_rate_card(
                card.id, card.canonical_json(), provider=card.provider, model=card.model, source=card.source
            )
        await self._store.submit(lambda tx: repricing.write_down(tx, changes, reason="repriced"))
        for change in changes:
            row = change.row
            self._accounts.adjust(
                row.token_id, row.user_id, started_ms=row.started_at, picousd=change.difference
            )


def repricing_json(found: Repricing) -> JsonObject:
    """Return what is shown of a repricing."""
    difference = sum(change.difference for change in found.changes)
    return {
        "changed": len(found.changes),
        "unchanged": found.unchanged,
        "unexplained": found.unexplained,
        "difference_usd": usd_text(difference),
        "difference_picousd": difference,
    }
