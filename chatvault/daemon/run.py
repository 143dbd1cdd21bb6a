"""The composition root: what the daemon is made of, in which order it starts, and in which it stops.

Start: lock → sockets bound → database opened, open holds settled → providers → control socket → accepting.
Stop: no more accepted → running answers drain → the rest is cut and settled → the books are closed, last.
"""

import logging
import os
import socket
from collections.abc import Callable, Mapping

from chatvault.config.files import ensure_private_folder
from chatvault.config.places import Places
from chatvault.config.service_group import service_group
from chatvault.control.lock import WriterLock
from chatvault.control.server import bind_control_socket
from chatvault.daemon import logs, memory
from chatvault.daemon.activation import addresses_of, inherited_listeners
from chatvault.daemon.daemon import Daemon
from chatvault.daemon.engine import now_ms
from chatvault.daemon.http_server import bind
from chatvault.daemon.public_side import build_public_side
from chatvault.daemon.reload import AnySettings
from chatvault.store.signing import Signer
from chatvault.store.writer import Store

_log = logging.getLogger("chatvault.daemon")


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
    for folder in (places.state_dir, places.run_dir):
        ensure_private_folder(folder)
    public = build_public_side(settings)
    with WriterLock.acquire(places.lock):
        listeners = _listeners(settings, environ)
        control = bind_control_socket(places.control_socket, group=service_group(places))
        signer = Signer(places.keys_dir)
        signer.ensure()
        store = Store.open(places.database, now_ms=now_ms, signer=signer)
        try:
            daemon = Daemon(
                settings, places, store, public=public, load=load, environ=environ, announce=announce
            )
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
<<<<<<< HEAD
    return inherited
=======
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
            context=lambda: None if public.certificates is None else public.certificates.context,
            identity=identity,
            spawn=supervisor.spawn,
        )
        loop.tunnel_status = tunnel.status
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
>>>>>>> tunnel
