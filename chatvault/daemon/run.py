"""The composition root: what the daemon is made of, in which order it starts, and in which it stops.

Start: lock → sockets bound → database opened, open holds settled → providers → control socket → accepting.
Stop: no more accepted → running answers drain → the rest is cut and settled → the books are closed, last.
"""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from chatvault import __version__
from chatvault.config.files import ensure_private_folder
from chatvault.config.local_zone import local_zone
from chatvault.config.places import Places
from chatvault.config.settings import Settings
from chatvault.control.lock import WriterLock
from chatvault.control.server import ControlApp, ControlServer, bind_control_socket
from chatvault.daemon import logs, memory
from chatvault.daemon.accounts import open_accounts
from chatvault.daemon.control_loop import ControlLoop
from chatvault.daemon.engine import Engine, build_engine, now_ms
from chatvault.daemon.http_server import HttpServer, bind
from chatvault.daemon.maintenance import keep_up, watch_writer
from chatvault.daemon.public_side import PublicSide, build_public_side
from chatvault.daemon.stop_signal import StopSignal
from chatvault.daemon.supervisor import Supervisor
from chatvault.daemon.tunnel_task import TunnelTask, public_url
from chatvault.gateway.app import AsgiApp, ChatRoute, Gateway
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.call import RunningCalls
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.lazy_api import LazyApi
from chatvault.providers.base import ProviderSettings
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Identity

_log = logging.getLogger("chatvault.daemon")
_CUT_SECONDS = 2.0


def serve(
    settings: Settings[ProviderSettings],
    places: Places,
    *,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> int:
    """Run the daemon until it is told to stop, and return its exit code.

    `announce` is given the lines that people at a terminal see. Raises AlreadyRunning, StoreError,
    ConfigError, and ChatVaultError for a port that is taken.
    """
    log = logs.set_up(
        level=settings.log.level,
        format=settings.log.format,
        journal_stream=environ.get("JOURNAL_STREAM"),
    )
    try:
        return _serve(settings, places, environ=environ, announce=announce)
    finally:
        log.close()


def _serve(
    settings: Settings[ProviderSettings],
    places: Places,
    *,
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> int:
    import uvloop

    memory.raise_open_files_limit()
    for folder in (places.state_dir, places.run_dir):
        ensure_private_folder(folder)
    public = build_public_side(settings)
    with WriterLock.acquire(places.lock):
        listeners = bind(settings.server.host, settings.server.port)
        control = bind_control_socket(places.control_socket)
        store = Store.open(places.database, now_ms=now_ms)
        try:
            daemon = Daemon(settings, places, store, public=public, environ=environ, announce=announce)
            code: int = uvloop.run(daemon.run(listeners, control))
            return code
        finally:
            store.close()


class Daemon:
    """The running daemon."""

    def __init__(
        self,
        settings: Settings[ProviderSettings],
        places: Places,
        store: Store,
        *,
        public: PublicSide,
        environ: Mapping[str, str],
        announce: Callable[[str], None],
    ) -> None:
        self._public = public
        self._settings = settings
        self._places = places
        self._store = store
        self._environ = environ
        self._announce = announce

    async def run(self, listeners: list[socket.socket], control: socket.socket) -> int:
        """Build everything, serve until told to stop, and stop in order."""
        stop = StopSignal()
        stop.listen()
        supervisor = Supervisor()
        running = RunningCalls()
        doorkeeper = Doorkeeper(now_ms)
        heartbeat = Heartbeat(supervisor.spawn)
        accounts = await open_accounts(self._store, self._zone())
        engine = build_engine(
            self._settings,
            self._store,
            accounts,
            supervisor,
            heartbeat,
            environ=self._environ,
            cache_dir=self._places.cache_dir,
        )
        identity = Identity(secrets.token_bytes(32))
        public = self._public
        gateway = build_gateway(
            engine,
            doorkeeper,
            running,
            public=public,
            max_body_bytes=self._settings.server.max_body_bytes,
            probe=identity.mark,
        )
        server = HttpServer(gateway, listeners, guard=public.guard, certificates=public.certificates)
        loop = ControlLoop(
            engine=engine,
            store=self._store,
            accounts=accounts,
            doorkeeper=doorkeeper,
            running=running,
            server=server,
            supervisor=supervisor,
            base_url=self._base_url(server),
        )
        tunnel = TunnelTask(
            self._settings,
            self._places,
            self._store,
            make_protocol=server.protocol_factory(via="tunnel"),
            admit=lambda address: public.guard.why_not(address, via="tunnel") is None,
            context=lambda: None if public.certificates is None else public.certificates.context,
            identity=identity,
            spawn=supervisor.spawn,
        )
        loop.tunnel_status = tunnel.status
        if self._settings.tunnel.enabled or self._settings.server.public_url is not None:
            url = public_url(self._settings, is_tls=server.is_tls)
            loop.device_url = None if url is None else f"{url}/v1"
        routes = {**loop.routes(), **tunnel.routes()}
        control_server = ControlServer(ControlApp(routes), control, self._places.control_socket)
        await loop.reload_tokens()
        await self._store.record("daemon.started", {"version": __version__, "pid": os.getpid()})
        await server.start()
        await control_server.start()
        supervisor.supervised(heartbeat.run, "heartbeat")
        supervisor.supervised(public.guard.run, "guard")
        if public.certificates is not None:
            supervisor.supervised(public.certificates.keep_fresh, "certificate")
        supervisor.supervised(lambda: public.logins.keep_audit(self._store.record), "failed logins")
        supervisor.supervised(server.keep_date, "date")
        supervisor.supervised(engine.catalog.keep_fresh, "model lists")
        supervisor.supervised(tunnel.run, "tunnel")
        supervisor.supervised(lambda: keep_up(self._store), "upkeep")
        supervisor.essential(watch_writer(self._store), "database writer")
        self._announce(f"listening  {self._base_url(server)}")

        await _first(stop.told, supervisor.failed)
        _log.info("stopping: %s", stop.reason or supervisor.cause)
        tunnel.stop_accepting()
        drain_seconds = self._settings.server.drain_seconds
        if not await server.stop(drain_seconds=drain_seconds, hurry=stop.hurry):
            _log.warning("%d requests were still running and are cut", running.end_all())
            await server.abandon(seconds=_CUT_SECONDS)
        await supervisor.close()
        await engine.aclose()
        if self._store.is_alive:
            await tunnel.note_end()
            await public.logins.write_down(self._store.record)
            await self._store.record("daemon.stopped", {"reason": stop.reason or "failure"})
            await self._store.flush()
        await control_server.stop()
        return 1 if supervisor.cause is not None else 0

    def _zone(self) -> ZoneInfo:
        zone = self._settings.usage.timezone
        return local_zone(self._environ) if zone == "local" else zone

    def _base_url(self, server: HttpServer) -> str:
        host, port = server.addresses[0]
        host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
        scheme = "https" if server.is_tls else "http"
        return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"


def build_gateway(
    engine: Engine,
    doorkeeper: Doorkeeper,
    running: RunningCalls,
    *,
    public: PublicSide,
    max_body_bytes: int,
    probe: Callable[[str], str | None] | None = None,
) -> Gateway:
    """Return the app that the HTTP server serves."""
    chat = ChatRoute(
        doorkeeper=doorkeeper,
        relay=engine.relay,
        books=engine.books,
        running=running,
        now_ms=now_ms,
        clock=time.monotonic,
        max_body_bytes=max_body_bytes,
        logins=public.logins,
    )

    def build() -> AsgiApp:
        from chatvault.gateway.api import build_api

        return build_api(
            chat=chat,
            doorkeeper=doorkeeper,
            catalog=engine.catalog,
            now_ms=now_ms,
            version=__version__,
            logins=public.logins,
        )

    return Gateway(chat, LazyApi(build), cors=public.cors, probe=probe)


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of `events` to be set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
