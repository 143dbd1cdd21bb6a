"""The running daemon: its parts, made and wired once, started in order and stopped in order."""

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from chatvault import __version__
from chatvault.config.local_zone import local_zone
from chatvault.config.places import Places
from chatvault.control.server import ControlApp, ControlServer
from chatvault.core.accounts import Accounts
from chatvault.core.health import Health
from chatvault.core.text import counted
from chatvault.daemon.accounts import open_accounts
from chatvault.daemon.backups import Backups
from chatvault.daemon.contents import KeptContents
from chatvault.daemon.control_loop import ControlLoop
from chatvault.daemon.engine import Engine, build_engine, now_ms
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.maintenance import keep_up, watch_writer
from chatvault.daemon.memory import spare_the_collector
from chatvault.daemon.notify import Notifier
from chatvault.daemon.price_desk import PriceDesk
from chatvault.daemon.pruning import Pruning
from chatvault.daemon.public_side import PublicSide
from chatvault.daemon.pulse import beat
from chatvault.daemon.reading import ReportRoom
from chatvault.daemon.reload import AnySettings, Reloader, Surroundings
from chatvault.daemon.signals import Signals
from chatvault.daemon.status import Status
from chatvault.daemon.status_line import status_line
from chatvault.daemon.supervisor import Supervisor
from chatvault.daemon.tunnel_task import TunnelTask, public_url
from chatvault.errors import StoreError
from chatvault.gateway.app import AsgiApp, ChatRoute, Gateway
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.call import RunningCalls
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.lazy_api import LazyApi
from chatvault.store.content import ContentVault
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
        self._running = RunningCalls()
        self._doorkeeper = Doorkeeper(now_ms)
        self._heartbeat = Heartbeat(self._supervisor.spawn)
        self._notifier = Notifier.from_environ(environ, pid=os.getpid())
        self._vault = ContentVault(places.keys_dir)
        self._identity = Identity(secrets.token_bytes(32))

    async def run(self, listeners: list[socket.socket], control: socket.socket) -> int:
        """Run to the end and return the exit code."""
        self._accounts: Accounts = await open_accounts(self._store, self._zone(self._settings))
        self._prices = PriceDesk(self._store, self._accounts, database=self._places.database)
        await self._prices.load()
        engine = self._build(self._settings)
        gateway = Gateway(
            *self._routes(engine, self._settings), cors=self._public.cors, probe=self._identity.mark
        )
        server = HttpServer(
            gateway, listeners, guard=self._public.guard, certificates=self._public.certificates
        )
        tunnel = self._tunnel(server)

        def install(engine: Engine, settings: AnySettings) -> None:
            gateway.use(*self._routes(engine, settings))
            self._accounts.calendar.use(self._zone(settings))
            tunnel.note_settings(settings)

        reloader = Reloader(
            self._settings,
            engine,
            Surroundings(self._running, self._supervisor, self._store, self._health, self._notifier),
            load=self._load,
            build=self._build,
            install=install,
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
                store=self._store,
                running=self._running,
                server=server,
                tunnel=tunnel.status,
                database=self._places.database,
                zone=lambda: self._zone(reloader.settings),
                base_url=_base_url(server),
            ),
            store=self._store,
            accounts=self._accounts,
            doorkeeper=self._doorkeeper,
            running=self._running,
            reports=ReportRoom(self._environ),
            base_url=_base_url(server),
            device_url=self._device_url(server),
        )
        backups = Backups(self._store, self._places, self._health, now_ms=now_ms)
        contents = KeptContents(
            self._store, self._vault, days=self._settings.audit.content_days, now_ms=now_ms
        )
        self._supervisor.supervised(contents.forget, "kept contents")
        pruning = Pruning(self._store, self._places)
        routes = {
            **loop.routes(),
            **tunnel.routes(),
            **backups.routes(),
            **pruning.routes(),
            **self._prices.routes(reloader),
            **contents.routes(),
        }
        control_server = ControlServer(ControlApp(routes), control, self._places.control_socket)
        await loop.reload_tokens()
        await self._store.record("daemon.started", {"version": __version__, "pid": os.getpid()})
        await server.start()
        await control_server.start()
        await reloader.begin()
        self._supervisor.supervised(lambda: backups.keep(self._settings.backup), "backups")
        self._start_tasks(server, tunnel)

        await _first(signals.told, self._supervisor.failed)
        await self._stop(server, tunnel, reloader, signals)
        await control_server.stop()
        self._notifier.close()
        return 1 if self._supervisor.cause is not None else 0

    def _start_tasks(self, server: HttpServer, tunnel: TunnelTask) -> None:
        """Start what runs beside the requests, and say that the daemon is ready."""
        public, supervisor = self._public, self._supervisor
        supervisor.supervised(self._heartbeat.run, "heartbeat")
        supervisor.supervised(public.guard.run, "guard")
        if (certificates := public.certificates) is not None:

            def tell(problem: str | None) -> None:
                self._health.report("tls", problem, now_ms=now_ms())

            supervisor.supervised(lambda: certificates.keep_fresh(tell), "certificate")
        supervisor.supervised(lambda: public.logins.keep_audit(self._store.record), "failed logins")
        supervisor.supervised(server.keep_date, "date")
        supervisor.supervised(tunnel.run, "tunnel")
        supervisor.supervised(lambda: keep_up(self._store), "upkeep")
        supervisor.essential(watch_writer(self._store), "database writer")
        spare_the_collector()
        self._notifier.ready(self._status_line(server))
        supervisor.essential(beat(self._notifier, lambda: self._status_line(server)), "pulse")
        self._announce(f"listening  {_base_url(server)}")

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
        certificates = self._public.certificates
        return TunnelTask(
            self._settings,
            self._places,
            self._store,
            make_protocol=server.protocol_factory(via="tunnel"),
            admit=lambda address: not self._public.guard.is_greedy(address, via="tunnel"),
            context=lambda: None if certificates is None else certificates.context,
            identity=self._identity,
            spawn=self._supervisor.spawn,
        )

    def _zone(self, settings: AnySettings) -> ZoneInfo:
        zone = settings.usage.timezone
        return local_zone(self._environ) if zone == "local" else zone

    def _device_url(self, server: HttpServer) -> str:
        """Return the base URL that devices are told: the tunnel's or `public_url`, else the local one."""
        url = None
        if self._settings.tunnel.enabled or self._settings.server.public_url is not None:
            url = public_url(self._settings, is_tls=server.is_tls)
        return _base_url(server) if url is None else f"{url.removesuffix('/v1')}/v1"

    def _build(self, settings: AnySettings, old: Engine | None = None) -> Engine:
        return build_engine(
            settings,
            self._store,
            self._accounts,
            self._supervisor,
            self._heartbeat,
            vault=self._vault,
            environ=self._environ,
            cache_dir=self._places.cache_dir,
            own_prices=self._prices.own,
            old=old,
        )

    def _routes(self, engine: Engine, settings: AnySettings) -> tuple[ChatRoute, AsgiApp]:
        """Return the hot route, and the app behind it for every other one."""
        chat = ChatRoute(
            doorkeeper=self._doorkeeper,
            relay=engine.relay,
            books=engine.books,
            running=self._running,
            logins=self._public.logins,
            now_ms=now_ms,
            clock=time.monotonic,
            max_body_bytes=settings.server.max_body_bytes,
        )

        def build() -> AsgiApp:
            from chatvault.gateway.api import build_api

            return build_api(
                chat=chat,
                doorkeeper=self._doorkeeper,
                catalog=engine.catalog,
                now_ms=now_ms,
                version=__version__,
                logins=self._public.logins,
            )

        return chat, LazyApi(build)

    def _status_line(self, server: HttpServer) -> str:
        full = "the disk is full: nothing that costs money is sent on" if self._store.is_full else None
        self._health.report("storage", full, now_ms=now_ms())
        doubt = self._store.doubt
        unsigned = None if doubt is None else f"no checkpoint is signed: {doubt}"
        self._health.report("audit", unsigned, now_ms=now_ms())
        return status_line(_base_url(server), running=len(self._running), conditions=self._health.conditions)


def _base_url(server: HttpServer) -> str:
    host, port = server.addresses[0]
    host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
    scheme = "https" if server.is_tls else "http"
    return f"{scheme}://[{host}]:{port}/v1" if ":" in host else f"{scheme}://{host}:{port}/v1"


async def _first(*events: asyncio.Event) -> None:
    """Wait for the first of `events` to be set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
