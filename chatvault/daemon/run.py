"""The composition root: what the daemon is made of, in which order it starts, and in which it stops.

Start: lock → sockets bound, or taken from systemd → database opened, open holds settled → providers
→ accepting → control socket → systemd hears READY.
Stop: no more accepted → running answers drain → the rest is cut and settled → the books are closed, last.
"""

import asyncio
import faulthandler
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from chatvault import __version__
from chatvault.config.local_zone import local_zone
from chatvault.config.places import Places
from chatvault.config.service_user import become_service, service_group
from chatvault.control.lock import WriterLock
from chatvault.control.server import ControlApp, ControlServer, bind_control_socket
from chatvault.core.health import Health
from chatvault.daemon import logs, memory
from chatvault.daemon.activation import addresses_of, inherited_listeners
from chatvault.daemon.control_loop import ControlLoop
from chatvault.daemon.engine import Engine, build_engine, now_ms
from chatvault.daemon.http_server import HttpServer, bind
from chatvault.daemon.maintenance import keep_up
from chatvault.daemon.notify import Notifier
from chatvault.daemon.pulse import beat
from chatvault.daemon.reading import ReportRoom
from chatvault.daemon.reload import AnySettings, Reloader, Surroundings
from chatvault.daemon.signals import Signals
from chatvault.daemon.status import Status
from chatvault.daemon.status_line import status_line
from chatvault.daemon.supervisor import Supervisor
from chatvault.gateway.app import AsgiApp, ChatRoute, Gateway
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.call import RunningCalls
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.lazy_api import LazyApi
from chatvault.store.writer import Store

_log = logging.getLogger("chatvault.daemon")
_CUT_SECONDS = 2.0
_CLOSE_SECONDS = 10.0


def serve(
    settings: AnySettings,
    places: Places,
    *,
    load: Callable[[], AnySettings],
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> int:
    """Run the daemon until it is told to stop, and return its exit code.

    `load` reads the settings anew for a reload. `announce` is given the lines that people at a terminal see.
    Raises AlreadyRunning, StoreError, ConfigError, and ChatVaultError for a port that is taken.
    """
    # A hang that the watchdog ends shows in the log where it was.
    faulthandler.enable()
    log = logs.set_up(
        level=settings.log.level,
        format=settings.log.format,
        journal_stream=environ.get("JOURNAL_STREAM"),
    )
    try:
        return _serve(settings, places, load=load, environ=environ, announce=announce)
    finally:
        log.close()


def _serve(
    settings: AnySettings,
    places: Places,
    *,
    load: Callable[[], AnySettings],
    environ: Mapping[str, str],
    announce: Callable[[str], None],
) -> int:
    import uvloop

    memory.raise_open_files_limit()
    become_service(places)
    for folder in (places.state_dir, places.run_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with WriterLock.acquire(places.lock):
        listeners = _listeners(settings, environ)
        control = bind_control_socket(places.control_socket, group=service_group(places))
        store = Store.open(places.database, now_ms=now_ms)
        try:
            daemon = Daemon(settings, places, store, load=load, environ=environ, announce=announce)
            code: int = uvloop.run(daemon.run(listeners, control))
            return code
        finally:
            store.close()


def _listeners(settings: AnySettings, environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd has opened, else open those of the settings."""
    server = settings.server
    inherited = inherited_listeners(environ, pid=os.getpid())
    if not inherited:
        return bind(server.host, server.port)
    if all(port != server.port for _, port in addresses_of(inherited)):
        _log.warning(
            "chatvault.socket says where to listen, so server.port: %d is not used: `systemctl edit "
            "chatvault.socket` changes it",
            server.port,
        )
    return inherited


class Daemon:
    """The running daemon."""

    def __init__(
        self,
        settings: AnySettings,
        places: Places,
        store: Store,
        *,
        load: Callable[[], AnySettings],
        environ: Mapping[str, str],
        announce: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._places = places
        self._store = store
        self._load = load
        self._environ = environ
        self._announce = announce
        self._health = Health()
        self._supervisor = Supervisor(self._health, now_ms=now_ms)
        self._running = RunningCalls()
        self._doorkeeper = Doorkeeper(now_ms)
        self._heartbeat = Heartbeat(self._supervisor.spawn)
        self._notifier = Notifier.from_environ(environ, pid=os.getpid())

    async def run(self, listeners: list[socket.socket], control: socket.socket) -> int:
        """Build everything, serve until told to stop, and stop in order."""
        engine = self._build(self._settings)
        gateway = Gateway(*self._routes(engine, self._settings))
        server = HttpServer(gateway, listeners)
        base_url = _base_url(server)

        def status() -> str:
            self._health.report("storage", _storage(self._store), now_ms=now_ms())
            return status_line(base_url, running=len(self._running), conditions=self._health.conditions)

        reloader = Reloader(
            self._settings,
            engine,
            Surroundings(self._running, self._supervisor, self._store, self._health, self._notifier),
            load=self._load,
            build=self._build,
            install=lambda engine, settings: gateway.use(*self._routes(engine, settings)),
            status=status,
        )

        def on_hangup() -> None:
            self._supervisor.spawn(reloader.reload_by_signal(), "reload")

        signals = Signals(on_hangup)
        signals.listen()
        loop = ControlLoop(
            reloader=reloader,
            signals=signals,
            status=Status(
                engine=lambda: reloader.engine,
                health=self._health,
                store=self._store,
                running=self._running,
                server=server,
                database=self._places.database,
                zone=lambda: self._zone(reloader.settings),
                base_url=base_url,
            ),
            store=self._store,
            doorkeeper=self._doorkeeper,
            running=self._running,
            reports=ReportRoom(self._environ),
            base_url=base_url,
        )
        control_server = ControlServer(ControlApp(loop.routes()), control, self._places.control_socket)
        await loop.reload_tokens()
        await self._store.record("daemon.started", {"version": __version__, "pid": os.getpid()})
        await server.start()
        await control_server.start()
        await reloader.begin()
        supervisor = self._supervisor
        supervisor.supervised(self._heartbeat.run, "heartbeat")
        supervisor.supervised(server.keep_date, "date")
        supervisor.supervised(lambda: keep_up(self._store), "upkeep")
        self._notifier.ready(status())
        supervisor.essential(beat(self._notifier, status), "pulse")
        self._announce(f"listening  {base_url}")

        await _first(signals.told, supervisor.failed)
        _log.info("stopping: %s", signals.reason or supervisor.cause)
        await self._drain(server, signals.hurry, reloader.settings.server.drain_seconds)
        await supervisor.close()
        await reloader.aclose()
        await self._store.record("daemon.stopped", {"reason": signals.reason or "failure"})
        await self._store.flush()
        await control_server.stop()
        self._notifier.close()
        return 1 if supervisor.cause is not None else 0

    async def _drain(self, server: HttpServer, hurry: asyncio.Event, seconds: float) -> None:
        """Let running answers end within `seconds`, then cut and settle the rest."""
        self._notifier.stopping(f"Stopping, {len(self._running)} requests may still end")
        self._notifier.extend(seconds + _CUT_SECONDS + _CLOSE_SECONDS)
        if not await server.stop(drain_seconds=seconds, hurry=hurry):
            _log.warning("%d requests were still running and are cut", self._running.end_all())
            await server.abandon(seconds=_CUT_SECONDS)

    def _build(self, settings: AnySettings, old: Engine | None = None) -> Engine:
        return build_engine(
            settings,
            self._store,
            self._supervisor,
            self._heartbeat,
            environ=self._environ,
            cache_dir=self._places.cache_dir,
            old=old,
        )

    def _zone(self, settings: AnySettings) -> ZoneInfo:
        chosen = settings.usage.timezone
        return local_zone(self._environ) if chosen == "local" else chosen

    def _routes(self, engine: Engine, settings: AnySettings) -> tuple[ChatRoute, AsgiApp]:
        return build_routes(
            engine, self._doorkeeper, self._running, max_body_bytes=settings.server.max_body_bytes
        )


def _storage(store: Store) -> str | None:
    return "the disk is full: nothing that costs money is sent on" if store.is_full else None


def _base_url(server: HttpServer) -> str:
    host, port = server.addresses[0]
    host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def build_routes(
    engine: Engine, doorkeeper: Doorkeeper, running: RunningCalls, *, max_body_bytes: int
) -> tuple[ChatRoute, AsgiApp]:
    """Return the hot route, and the app behind it for every other one."""
    chat = ChatRoute(
        doorkeeper=doorkeeper,
        relay=engine.relay,
        books=engine.books,
        running=running,
        now_ms=now_ms,
        clock=time.monotonic,
        max_body_bytes=max_body_bytes,
    )

    def build() -> AsgiApp:
        from chatvault.gateway.api import build_api

        return build_api(
            chat=chat, doorkeeper=doorkeeper, catalog=engine.catalog, now_ms=now_ms, version=__version__
        )

    return chat, LazyApi(build)


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of `events` to be set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
