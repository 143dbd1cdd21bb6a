"""The running daemon: its parts, made and wired once, started in order and stopped in order."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping

from chatvault import __version__
from chatvault.config.places import Places
from chatvault.control.server import ControlApp, ControlServer
from chatvault.core.health import Health
from chatvault.core.text import counted
from chatvault.daemon.accounts import open_accounts
from chatvault.daemon.addresses import base_url, device_url
from chatvault.daemon.assembly import Assembly, zone_of
from chatvault.daemon.backups import Backups
from chatvault.daemon.contents import KeptContents
from chatvault.daemon.control_loop import ControlLoop
from chatvault.daemon.engine import now_ms
from chatvault.daemon.following import AnySettings
from chatvault.daemon.front_door import FrontDoor
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.maintenance import keep_up, watch_writer
from chatvault.daemon.memory import spare_the_collector
from chatvault.daemon.notify import Notifier
from chatvault.daemon.price_desk import PriceDesk
from chatvault.daemon.pruning import Pruning
from chatvault.daemon.public_side import PublicSide
from chatvault.daemon.pulse import beat
from chatvault.daemon.reading import ReportRoom
from chatvault.daemon.reload import Reloader, Surroundings
from chatvault.daemon.signals import Signals
from chatvault.daemon.status import Status
from chatvault.daemon.status_line import status_line
from chatvault.daemon.supervisor import Supervisor
from chatvault.daemon.tunnel_task import TunnelTask
from chatvault.errors import StoreError
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Identity

_log = logging.getLogger("chatvault.daemon")
_CUT_SECONDS = 2.0
_CLOSE_SECONDS = 10.0


class Daemon:
    """Build everything, serve until told to stop, and stop in order."""

    def __init__(
        self,
        settings: AnySettings,
        places: Places,
        store: Store,
        *,
        public: PublicSide,
        load: Callable[[], AnySettings],
        environ: Mapping[str, str],
        announce: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._places = places
        self._store = store
        self._public = public
        self._load = load
        self._environ = environ
        self._announce = announce
        self._health = Health()
        self._supervisor = Supervisor(self._health, now_ms=now_ms)
        self._notifier = Notifier.from_environ(environ, pid=os.getpid())
        self._identity = Identity(secrets.token_bytes(32))

    async def run(self, listeners: list[socket.socket], control: socket.socket) -> int:
        """Run to the end and return the exit code."""
        settings, store, public = self._settings, self._store, self._public
        accounts = await open_accounts(store, zone_of(settings, self._environ))
        prices = PriceDesk(store, accounts, database=self._places.database)
        await prices.load()
        assembly = Assembly(
            self._places,
            store,
            accounts,
            prices,
            public=public,
            supervisor=self._supervisor,
            environ=self._environ,
        )
        engine = assembly.engine(settings)
        gateway = assembly.gateway(engine, settings, self._identity)
        server = HttpServer(gateway, listeners, guard=public.guard, certificates=public.certificates)
        door = FrontDoor(public, server, settings, supervisor=self._supervisor, health=self._health)
        self._running = assembly.running
        tunnel = self._tunnel(server)
        reloader = Reloader(
            settings,
            engine,
            Surroundings(self._running, self._supervisor, store, self._health, self._notifier),
            load=self._load,
            build=assembly.engine,
            install=lambda engine, settings: assembly.install(gateway, engine, settings),
            followers={"tls": door.prepare, "tunnel": tunnel.prepare},
            status=lambda: self._status_line(server),
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
                store=store,
                running=self._running,
                server=server,
                tunnel=tunnel.status,
                database=self._places.database,
                zone=lambda: zone_of(reloader.settings, self._environ),
            ),
            store=store,
            accounts=accounts,
            doorkeeper=assembly.doorkeeper,
            running=self._running,
            reports=ReportRoom(self._environ),
            base_url=lambda: base_url(server),
            device_url=lambda: device_url(reloader.settings, server),
        )
        backups = Backups(store, self._places, self._health, now_ms=now_ms)
        contents = KeptContents(store, assembly.vault, days=settings.audit.content_days, now_ms=now_ms)
        self._supervisor.supervised(contents.forget, "kept contents")
        pruning = Pruning(store, self._places)
        routes = {
            **loop.routes(),
            **tunnel.routes(),
            **backups.routes(),
            **pruning.routes(),
            **prices.routes(reloader),
            **contents.routes(),
        }
        control_server = ControlServer(ControlApp(routes), control, self._places.control_socket)
        await loop.reload_tokens()
        await store.record("daemon.started", {"version": __version__, "pid": os.getpid()})
        await server.start()
        await control_server.start()
        await reloader.begin()
        self._supervisor.supervised(lambda: backups.keep(settings.backup), "backups")
        self._supervisor.supervised(assembly.heartbeat.run, "heartbeat")
        door.start(store)
        self._start_tasks(server, tunnel)

        await _first(signals.told, self._supervisor.failed)
        await self._stop(server, tunnel, reloader, signals)
        await control_server.stop()
        self._notifier.close()
        return 1 if self._supervisor.cause is not None else 0

    def _start_tasks(self, server: HttpServer, tunnel: TunnelTask) -> None:
        """Start what runs beside the requests, and say that the daemon is ready."""
        supervisor = self._supervisor
        supervisor.supervised(server.keep_date, "date")
        supervisor.supervised(tunnel.run, "tunnel")
        supervisor.supervised(lambda: keep_up(self._store), "upkeep")
        supervisor.essential(watch_writer(self._store), "database writer")
        spare_the_collector()
        self._notifier.ready(self._status_line(server))
        supervisor.essential(beat(self._notifier, lambda: self._status_line(server)), "pulse")
        self._announce(f"listening  {base_url(server)}")

    async def _stop(
        self, server: HttpServer, tunnel: TunnelTask, reloader: Reloader, signals: Signals
    ) -> None:
        """Stop accepting, drain, cut and settle the rest, close the books."""
        _log.info("stopping: %s", signals.reason or self._supervisor.cause)
        tunnel.stop_accepting()
        seconds = reloader.settings.server.drain_seconds
        self._notifier.stopping(f"Stopping, {counted(len(self._running), 'request')} may still end")
        self._notifier.extend(seconds + _CUT_SECONDS + _CLOSE_SECONDS)
        if not await server.stop(drain_seconds=seconds, hurry=signals.hurry):
            _log.warning("%d requests were still running and are cut", self._running.end_all())
            await server.abandon(seconds=_CUT_SECONDS)
        await self._supervisor.close()
        await reloader.aclose()
        if self._store.is_alive:
            try:
                await tunnel.note_end()
                await self._public.logins.write_down(self._store.record)
                await self._store.record("daemon.stopped", {"reason": signals.reason or "failure"})
                await self._store.submit(self._store.checkpoint)
                await self._store.flush()
            except StoreError as exc:
                # On a full disk the end itself isn't written down; what was settled is.
                _log.error("the end could not be written down: %s", exc.message)

    def _tunnel(self, server: HttpServer) -> TunnelTask:
        return TunnelTask(
            self._settings,
            self._places,
            self._store,
            server=server,
            admit=lambda address: not self._public.guard.is_greedy(address, via="tunnel"),
            cut=self._running.end_doorway,
            identity=self._identity,
            spawn=self._supervisor.spawn,
        )

    def _status_line(self, server: HttpServer) -> str:
        full = "the disk is full: nothing that costs money is sent on" if self._store.is_full else None
        self._health.report("storage", full, now_ms=now_ms())
        doubt = self._store.doubt
        unsigned = None if doubt is None else f"no checkpoint is signed: {doubt}"
        self._health.report("audit", unsigned, now_ms=now_ms())
        return status_line(base_url(server), running=len(self._running), conditions=self._health.conditions)


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of `events` to be set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
