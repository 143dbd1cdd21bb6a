"""What becomes known of the tunnel: each change logged and written down, and who is met outside."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from chatvault.core.chain import Json
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Outside
from chatvault.tunnel.status import Change

_log = logging.getLogger("chatvault.tunnel")
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


class TunnelNews:
    """Hear the tunnel's news. `is_plain` says whether it goes without TLS, `relay` where it leads."""

    def __init__(
        self, store: Store, spawn: Spawn, *, is_plain: Callable[[], bool], relay: Callable[[], str]
    ) -> None:
        self._store = store
        self._spawn = spawn
        self._is_plain = is_plain
        self._relay = relay
        self._was_up = False
        self._told: str | None = None

    def changed(self, change: Change) -> None:
        """Tell of a new state."""
        if change.state == "up":
            self._tell_up(change)
            return
        if change.state == "failed":
            _log.error("tunnel failed: %s; %s", change.reason, change.hint or "chatvault doctor")
        elif change.state == "contended":
            _log.error("tunnel contended: %s; %s", change.reason, change.hint)
        elif change.state == "backoff" and change.reason != self._told:
            _log.warning("tunnel down: %s", change.reason)
        elif change.state == "off":
            _log.info("tunnel off")
        if change.reason is not None:
            # An outage that lasts is told once, not at each of its hundred attempts.
            self._told = change.reason
        if self._was_up:
            self._was_up = False
            self._record("tunnel.down", {"state": change.state, "reason": change.reason})

    def looked(self, found: Outside) -> None:
        """Tell of what the outside check has met."""
        if found.is_met:
            _log.info("outside check: %s", found.detail)
        else:
            _log.error("outside check: %s; %s", found.detail, found.fix)

    async def note_end(self) -> None:
        """Write down that the tunnel is closed, where it was up."""
        if self._was_up:
            self._was_up = False
            await self._store.record("tunnel.down", {"state": "off", "reason": "the daemon stops"})

    def _tell_up(self, change: Change) -> None:
        seconds = change.outage_seconds
        _log.info("tunnel up%s", "" if seconds is None else f", after {seconds:.1f} s")
        if self._is_plain():
            _log.warning("tunnel.allow_plain_http: access tokens and prompts cross the internet in clear")
        ms_down = None if seconds is None else round(seconds * 1000)
        self._record("tunnel.up", {"ms_down": ms_down, "relay": self._relay()})
        self._was_up, self._told = True, None

    def _record(self, kind: str, body: Mapping[str, Json]) -> None:
        self._spawn(self._store.record(kind, body), f"audit: {kind}")
