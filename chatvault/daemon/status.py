"""What `chatvault status` shows: how the daemon is, what it does, and what has been used today."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from chatvault import __version__
from chatvault.core.health import Health
from chatvault.core.json_types import Json, JsonObject
from chatvault.core.money import usd_text
from chatvault.core.period import instant
from chatvault.daemon.addresses import base_url
from chatvault.daemon.engine import Engine, now_ms
from chatvault.daemon.gpu import gpus
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.memory import resident_bytes
from chatvault.daemon.network import network_bytes
from chatvault.errors import ProviderError, StoreError
from chatvault.gateway.call import RunningCalls
from chatvault.providers.base import LoadsModels, Provider
from chatvault.store.reader import Reader
from chatvault.store.usage import report
from chatvault.store.writer import Store

# A provider that is slow to say what it has loaded must not make the status slow.
_ASK_SECONDS = 2.0


class Status:
    """Puts the status together from the parts of the daemon."""

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        health: Health,
        store: Store,
        running: RunningCalls,
        server: HttpServer,
        tunnel: Callable[[], JsonObject],
        database: Path,
        zone: Callable[[], ZoneInfo],
    ) -> None:
        self._engine = engine
        self._health = health
        self._store = store
        self._running = running
        self._server = server
        self._tunnel = tunnel
        self._database = database
        self._zone = zone
        self._started_ms = now_ms()
        self._started = time.monotonic()

    async def show(self, query: JsonObject) -> JsonObject:
        """Answer `GET /v1/status`."""
        engine = self._engine()
        (cards, today), providers = await asyncio.gather(
            asyncio.to_thread(lambda: (gpus(), self._today())),
            asyncio.gather(*(self._provider(engine, name) for name in engine.providers)),
        )
        seq, head = self._store.head
        network = network_bytes()
        return {
            "schema": 1,
            "version": __version__,
            "pid": os.getpid(),
            "started_at_ms": self._started_ms,
            "uptime_seconds": round(time.monotonic() - self._started),
            "base_url": base_url(self._server),
            "requests_in_flight": len(self._running),
            "connections": self._server.connections,
            "memory_bytes": resident_bytes(),
            "gpus": [asdict(card) for card in cards],
            "network": None if network is None else {"received_bytes": network[0], "sent_bytes": network[1]},
            "today": today,
            "ledger": {"queued_writes": self._store.queue_length, "defects": self._store.defects},
            "audit_head": {"seq": seq, "hash": head.hex()},
            "tunnel": self._tunnel(),
            "providers": providers,
            "conditions": [
                {"name": each.name, "detail": each.detail, "since_ms": each.since_ms}
                for each in self._health.conditions
            ],
        }

    async def _provider(self, engine: Engine, name: str) -> JsonObject:
        provider, places = engine.providers[name], engine.places[name]
        shown: dict[str, Json] = {
            "name": name,
            "kind": provider.kind,
            "in_flight": places.taken,
            "queued": places.waiting,
            "models": engine.catalog.count(name),
            "trouble": engine.catalog.failures.get(name),
        }
        loaded = await _loaded(provider)
        return shown if loaded is None else {**shown, "loaded": loaded}

    def _today(self) -> JsonObject | None:
        """Sum up the day so far, in the zone of the settings."""
        now = datetime.fromtimestamp(now_ms() / 1000, UTC)
        zone = self._zone()
        try:
            reader = Reader.open(self._database)
            try:
                found = report(
                    reader,
                    since_ms=int(instant("today", now, zone=zone).timestamp() * 1000),
                    until_ms=int(now.timestamp() * 1000) + 1,
                    by=(),
                    timezone=zone,
                )
            finally:
                reader.close()
        except StoreError:
            # The condition `storage` and the log tell of it; the rest of the status is worth showing.
            return None
        total = found.total
        return {
            "requests": total.requests,
            "errors": total.errors,
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "cost_usd": usd_text(total.cost_picousd),
            "cost_picousd": total.cost_picousd,
            "unpriced_requests": total.unpriced_requests,
        }


async def _loaded(provider: Provider) -> list[Json] | None:
    if not isinstance(provider, LoadsModels):
        return None
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            models = await provider.loaded()
    except (ProviderError, TimeoutError):
        return None
    return [
        {"model": each.name, "memory_bytes": each.memory_bytes, "video_memory_bytes": each.video_memory_bytes}
        for each in models
    ]
