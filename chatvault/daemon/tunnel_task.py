"""The tunnel inside the daemon: made after the settings, following them, asked over the control socket."""

import asyncio
import importlib
import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from chatvault.config.places import Places
from chatvault.control.server import Handler
from chatvault.core.json_types import JsonObject
from chatvault.daemon.engine import now_ms
from chatvault.daemon.following import AnySettings, Step
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.tunnel_news import Spawn, TunnelNews
from chatvault.daemon.tunnel_plan import check_way, is_tls, plan_of
from chatvault.daemon.tunnel_status import outside_json, status_json
from chatvault.errors import ChatVaultError, ConfigError
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Identity
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.status import TunnelStatus

if TYPE_CHECKING:
    from chatvault.tunnel.listener import Doorway, Traffic
    from chatvault.tunnel.supervisor import Tunnel

_log = logging.getLogger("chatvault.tunnel")
_UP_SECONDS = 25.0
_DOWN_SECONDS = 5.0
_NO_RELAY = "the settings that the daemon runs with name no relay"
_SET_UP = "chatvault tunnel setup USER@HOST; then name it in tunnel.host, and chatvault config reload"
_OPENED, _REPLACED, _CLOSED = "opened", "replaced", "closed"


class TunnelTask:
    """The daemon's tunnel; without a relay in the settings it is off, and says what to do.

    Its connections are served by `server`; `admit` says whether one more from an address may come in; `cut`
    ends the answers through a doorway, with a word to their clients.
    """

    def __init__(
        self,
        settings: AnySettings,
        places: Places,
        store: Store,
        *,
        server: HttpServer,
        admit: Callable[[str], bool],
        cut: Callable[[object], object],
        identity: Identity,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._ssh_dir = places.ssh_dir
        self._server = server
        self._make_protocol = server.protocol_factory(via="tunnel")
        self._admit = admit
        self._cut = cut
        self._identity = identity
        self._news = TunnelNews(store, spawn, is_plain=lambda: not server.is_tls, relay=self._relay)
        self._started_ms = now_ms()
        self._plan = plan_of(settings, self._ssh_dir)
        self._tunnel: Tunnel | None = None
        self._is_there = asyncio.Event()
        self._is_stopping = False
        if self._plan is not None:
            self._make(self._plan)
            self._want(settings.tunnel.enabled, drain_seconds=0.0)

    def _make(self, plan: Plan) -> None:
        logging.getLogger("asyncssh").setLevel(logging.ERROR)
        # asyncssh takes a while to import: a daemon without a relay does without it.
        from chatvault.tunnel.public_end import PublicEnd
        from chatvault.tunnel.supervisor import Tunnel
        from chatvault.tunnel.tools import Tools

        tools = Tools(
            clock=time.monotonic,
            now_ms=now_ms,
            chance=random.random,
            nonce=lambda: secrets.token_hex(16),
        )
        self._tunnel = Tunnel(
            plan,
            self._doorway,
            PublicEnd(self._identity, self._context, tools),
            tools=tools,
            on_change=self._news.changed,
            on_outside=self._news.looked,
        )
        self._is_there.set()

    def _doorway(self, relay: Relay, traffic: "Traffic") -> "Doorway":
        from chatvault.tunnel.listener import Doorway

        return Doorway(
            self._make_protocol,
            traffic,
            local=(relay.host, relay.public_port),
            admit=self._admit,
            let_go=self._server.let_go,
            cut=self._cut,
        )

    def _context(self) -> ssl.SSLContext | None:
        certificates = self._server.certificates
        return None if certificates is None else certificates.context

    def _relay(self) -> str:
        return "" if self._plan is None else f"{self._plan.relay.user}@{self._plan.relay.name}"

    async def run(self) -> None:
        """Keep the tunnel for as long as the daemon runs."""
        await self._is_there.wait()
        assert self._tunnel is not None
        await self._tunnel.run()

    async def note_end(self) -> None:
        """Write down that the tunnel is closed, where it was up; to be called when `run` has ended."""
        await self._news.note_end()

    def stop_accepting(self) -> None:
        """Close the public port, and open none any more; running answers go on."""
        self._is_stopping = True
        if self._tunnel is not None:
            self._tunnel.stop_accepting()

    # --- other settings

    async def prepare(self, settings: AnySettings) -> Step:
        """Look what new settings make of the tunnel.

        What people have said of it, up or down, holds until the file says something else than before. Raises
        ConfigError for a relay that can't be logged in to, for want of a key or of a pinned one.
        """
        plan = plan_of(settings, self._ssh_dir)
        if plan is not None and self._tunnel is None:
            # Not on the loop: importing asyncssh takes as long as many answers.
            await asyncio.to_thread(importlib.import_module, "chatvault.tunnel.supervisor")
        was_wanted = self._tunnel is not None and self._tunnel.is_wanted
        is_wanted = self._is_wanted_by(settings)
        before = self._plan if was_wanted and _may_be_up(self._plan, self._settings) else None
        after = plan if is_wanted and _may_be_up(plan, settings) else None
        is_moved = plan is not None and (self._plan is None or plan.relay != self._plan.relay)
        if after is not None and (is_moved or not was_wanted):
            await asyncio.to_thread(check_way, after.relay)
        effect = None
        if before is None or after is None:
            effect = _OPENED if after is not None else _CLOSED if before is not None else None
        elif is_moved:
            effect = _REPLACED
        return Step(lambda: self._take(settings, plan, effect), effect)

    def _is_wanted_by(self, settings: AnySettings) -> bool:
        if self._is_stopping or settings.tunnel.host is None:
            return False
        if self._tunnel is None or settings.tunnel.enabled != self._settings.tunnel.enabled:
            return settings.tunnel.enabled
        return self._tunnel.is_wanted

    def _take(self, settings: AnySettings, plan: Plan | None, effect: str | None) -> None:
        is_wanted = self._is_wanted_by(settings)
        is_changed = plan != self._plan or is_tls(settings) is not is_tls(self._settings)
        self._settings, self._plan = settings, plan
        if effect is not None:
            _log.info("the settings have the tunnel %s: %s", effect, self._relay() or "they name no relay")
        drain_seconds = settings.server.drain_seconds
        if plan is not None and self._tunnel is None:
            self._make(plan)
        elif plan is not None and self._tunnel is not None and is_changed:
            self._tunnel.use(plan, drain_seconds=drain_seconds)
        self._want(is_wanted, drain_seconds=drain_seconds)

    def _want(self, is_wanted: bool, *, drain_seconds: float) -> None:
        if self._tunnel is None or self._tunnel.is_wanted is is_wanted:
            return
        if is_wanted:
            self._tunnel.up()
        else:
            self._tunnel.down(drain_seconds=drain_seconds)

    # --- asked over the control socket

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return the control socket's handlers."""
        return {
            ("GET", "/v1/tunnel/status"): self._status,
            ("POST", "/v1/tunnel/up"): self._up,
            ("POST", "/v1/tunnel/down"): self._down,
            ("POST", "/v1/tunnel/look"): self._look,
        }

    def status(self) -> JsonObject:
        """Return the tunnel's state, as `tunnel status --json` shows it."""
        if self._tunnel is not None and self._plan is not None:
            return status_json(self._tunnel.status())
        nothing = TunnelStatus(
            state="off",
            relay="",
            public_url="",
            since_ms=self._started_ms,
            reason=_NO_RELAY,
            hint=_SET_UP,
        )
        return status_json(nothing)

    async def _status(self, query: JsonObject) -> JsonObject:
        return self.status()

    async def _up(self, body: JsonObject) -> JsonObject:
        tunnel = self._needed()
        if self._is_stopping:
            raise ChatVaultError("the daemon is stopping, and opens nothing any more", hint="chatvault serve")
        tunnel.up()
        return status_json(await tunnel.outcome(seconds=_UP_SECONDS))

    async def _down(self, body: JsonObject) -> JsonObject:
        if self._tunnel is not None:
            self._tunnel.down()
            await self._tunnel.off(seconds=_DOWN_SECONDS)
        return self.status()

    async def _look(self, body: JsonObject) -> JsonObject:
        tunnel = self._needed()
        if tunnel.status().state != "up":
            raise ChatVaultError("the tunnel is not up", hint="chatvault tunnel up")
        return outside_json(await tunnel.look())

    def _needed(self) -> "Tunnel":
        if self._tunnel is None or self._plan is None:
            raise ConfigError(_NO_RELAY, hint=_SET_UP)
        return self._tunnel


def _may_be_up(plan: Plan | None, settings: AnySettings) -> bool:
    return plan is not None and (plan.allow_plain_http or is_tls(settings))
