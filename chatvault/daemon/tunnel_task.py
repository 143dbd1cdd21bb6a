"""The tunnel inside the daemon: made after the settings, logged, audited, asked over the control socket."""

import asyncio
import logging
import random
import secrets
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chatvault.config.places import Places
from chatvault.config.settings import Settings
from chatvault.control.server import Handler
from chatvault.core.chain import Json
from chatvault.core.json_types import JsonObject
from chatvault.daemon.engine import now_ms
from chatvault.errors import ChatVaultError, ConfigError
from chatvault.providers.base import ProviderSettings
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Identity, Outside
from chatvault.tunnel.status import Change, TunnelStatus

if TYPE_CHECKING:
    from chatvault.tunnel.supervisor import Tunnel

_log = logging.getLogger("chatvault.tunnel")
_UP_SECONDS = 25.0
_NO_RELAY = "the settings the daemon runs with name no relay"
_SET_UP = "chatvault tunnel setup USER@HOST, then restart the daemon"
_NOT_YET = "the tunnel's settings have changed since the daemon was started: they hold after a restart"
_DOWN_SECONDS = 5.0
ProtocolFactory = Callable[[], asyncio.Protocol]
Context = Callable[[], ssl.SSLContext | None]
Spawn = Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]]


def public_url(settings: Settings[ProviderSettings], *, is_tls: bool) -> str | None:
    """Return the address devices use through the tunnel, None where there is none."""
    if settings.server.public_url is not None:
        return settings.server.public_url.rstrip("/")
    tunnel = settings.tunnel
    if tunnel.host is None:
        return None
    host = f"[{tunnel.host}]" if ":" in tunnel.host else tunnel.host
    return f"{'https' if is_tls else 'http'}://{host}:{tunnel.remote_port}"


class TunnelTask:
    """The daemon's tunnel; without a relay in the settings it is off, and says what to do."""

    def __init__(
        self,
        settings: Settings[ProviderSettings],
        places: Places,
        store: Store,
        *,
        make_protocol: ProtocolFactory,
        admit: Callable[[str], bool],
        context: Context,
        identity: Identity,
        spawn: Spawn,
    ) -> None:
        self._settings = settings
        self._store = store
        self._spawn = spawn
        self._context = context
        self._admit = admit
        self._started_ms = now_ms()
        self._was_up = False
        self._told: str | None = None
        # What the file says by now; what runs is as it was at the start.
        self._newest = settings.tunnel
        self._restart = "systemctl restart chatvault" if places.is_system else "restart the daemon"
        self._tunnel = self._build(places, make_protocol, identity)

    def _build(self, places: Places, make_protocol: ProtocolFactory, identity: Identity) -> "Tunnel | None":
        wanted = self._settings.tunnel
        url = public_url(self._settings, is_tls=self._context() is not None)
        if wanted.host is None or url is None:
            return None
        logging.getLogger("asyncssh").setLevel(logging.ERROR)
        # asyncssh takes a while to import: a daemon without a relay does without it.
        from chatvault.tunnel.listener import Doorway, Traffic
        from chatvault.tunnel.relay import Relay
        from chatvault.tunnel.supervisor import Tunnel
        from chatvault.tunnel.tools import Tools

        relay = Relay(
            host=wanted.host,
            port=wanted.port,
            user=wanted.user,
            bind=wanted.remote_bind,
            public_port=wanted.remote_port,
            ssh_dir=places.ssh_dir,
            jump=wanted.jump,
        )
        doorway = Doorway(
            make_protocol,
            Traffic(),
            local=(wanted.host, wanted.remote_port),
            admit=self._admit,
        )
        return Tunnel(
            relay,
            doorway,
            public_url=url,
            tls=self._context,
            allow_plain_http=wanted.allow_plain_http,
            identity=identity,
            tools=Tools(
                clock=time.monotonic,
                now_ms=now_ms,
                chance=random.random,
                nonce=lambda: secrets.token_hex(16),
            ),
            on_change=self._changed,
            on_outside=self._looked,
        )

    async def run(self) -> None:
        """Keep the tunnel for as long as the daemon runs."""
        if self._tunnel is None:
            return
        if self._settings.tunnel.enabled:
            self._tunnel.up()
        await self._tunnel.run()

    async def note_end(self) -> None:
        """Write down that the tunnel is closed, where it was up; to be called when `run` has ended."""
        if self._was_up:
            self._was_up = False
            await self._store.record("tunnel.down", {"state": "off", "reason": "the daemon stops"})

    def stop_accepting(self) -> None:
        """Close the public port; running answers go on."""
        if self._tunnel is not None:
            self._tunnel.stop_accepting()

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """Return the control socket's handlers."""
        return {
            ("GET", "/v1/tunnel/status"): self._status,
            ("POST", "/v1/tunnel/up"): self._up,
            ("POST", "/v1/tunnel/down"): self._down,
            ("POST", "/v1/tunnel/look"): self._look,
        }

    def note_settings(self, settings: Settings[ProviderSettings]) -> None:
        """Take note of settings that were reloaded: the tunnel takes them over at the next start alone."""
        self._newest = settings.tunnel

    def status(self) -> JsonObject:
        """Return the tunnel's state, as `tunnel status --json` shows it."""
        if self._tunnel is not None:
            return status_json(self._tunnel.status())
        nothing = TunnelStatus(
            state="off",
            relay="",
            public_url="",
            since_ms=self._started_ms,
            reason=_NO_RELAY if self._newest.host is None else _NOT_YET,
            hint=_SET_UP if self._newest.host is None else self._restart,
        )
        return status_json(nothing)

    async def _status(self, query: JsonObject) -> JsonObject:
        return self.status()

    async def _up(self, body: JsonObject) -> JsonObject:
        tunnel = self._needed()
        if replace(self._newest, enabled=True) != replace(self._settings.tunnel, enabled=True):
            raise ConfigError(_NOT_YET, hint=self._restart)
        tunnel.up()
        return status_json(await tunnel.outcome(seconds=_UP_SECONDS))

    async def _down(self, body: JsonObject) -> JsonObject:
        if self._tunnel is None:
            return self.status()
        self._tunnel.down()
        return status_json(await self._tunnel.off(seconds=_DOWN_SECONDS))

    async def _look(self, body: JsonObject) -> JsonObject:
        tunnel = self._needed()
        if tunnel.status().state != "up":
            raise ChatVaultError("the tunnel is not up", hint="chatvault tunnel up")
        return outside_json(await tunnel.look())

    def _needed(self) -> "Tunnel":
        if self._tunnel is None:
            if self._newest.host is not None:
                raise ConfigError(_NOT_YET, hint=self._restart)
            raise ConfigError(_NO_RELAY, hint=_SET_UP)
        return self._tunnel

    # --- what is told of it

    def _changed(self, change: Change) -> None:
        if change.state == "up":
            after = f", after {change.outage_seconds:.1f} s" if change.outage_seconds is not None else ""
            _log.info("tunnel up%s", after)
            if self._context() is None:
                _log.warning("tunnel.allow_plain_http: access tokens and prompts cross the internet in clear")
            self._record("tunnel.up", {"ms_down": _ms(change.outage_seconds)})
            self._was_up, self._told = True, None
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
        if change.state != "connecting" and self._was_up:
            self._was_up = False
            self._record("tunnel.down", {"state": change.state, "reason": change.reason})

    def _looked(self, found: Outside) -> None:
        if found.is_met:
            _log.info("outside check: %s", found.detail)
        else:
            _log.error("outside check: %s; %s", found.detail, found.fix)

    def _record(self, kind: str, body: Mapping[str, Json]) -> None:
        self._spawn(self._store.record(kind, body), f"audit: {kind}")


def status_json(status: TunnelStatus) -> JsonObject:
    """Write a status as the control socket and `--json` have it."""
    return {
        "schema": 1,
        "state": status.state,
        "relay": status.relay or None,
        "public_url": status.public_url or None,
        "since": status.since_ms,
        "reason": status.reason,
        "hint": status.hint,
        "reconnects": status.reconnects,
        "last_error": status.last_error,
        "retry_in_seconds": status.retry_in_seconds,
        "connections": status.connections,
        "bytes_in": status.bytes_in,
        "bytes_out": status.bytes_out,
        "round_trip_ms": None
        if status.round_trip_seconds is None
        else round(status.round_trip_seconds * 1000, 2),
        "last_recovery_seconds": _rounded(status.last_recovery_seconds),
        "outside": None if status.outside is None else outside_json(status.outside),
    }


def outside_json(outside: Outside) -> JsonObject:
    """Write what the outside check met."""
    return {
        "ok": outside.is_met,
        "verdict": outside.verdict,
        "url": outside.url,
        "detail": outside.detail,
        "fix": outside.fix,
    }


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
