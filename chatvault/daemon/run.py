"""The composition root: what the daemon is made of, in which order it starts, and in which it stops.

Start: lock → sockets bound → database opened, open holds settled → providers → control socket → accepting.
Stop: no more accepted → running answers drain → the rest is cut and settled → the books are closed, last.
"""

import faulthandler
import logging
import os
import socket
from collections.abc import Callable, Mapping

from chatvault.config.files import ensure_private_folder
from chatvault.config.places import Places
from chatvault.config.service_user import become_service, service_group
from chatvault.control.lock import WriterLock
from chatvault.control.server import bind_control_socket
from chatvault.daemon import logs, memory
from chatvault.daemon.activation import addresses_of, inherited_listeners
from chatvault.daemon.daemon import Daemon
from chatvault.daemon.engine import now_ms
from chatvault.daemon.following import AnySettings
from chatvault.daemon.http_server import bind
from chatvault.daemon.public_side import build_public_side
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
        ensure_private_folder(folder)
    public = build_public_side(settings)
    with WriterLock.acquire(places.lock):
        listeners = _listeners(settings, environ)
        control = bind_control_socket(places.control_socket, group=service_group(places))
        try:
            signer = Signer(places.keys_dir)
            signer.ensure()
            store = Store.open(places.database, now_ms=now_ms, signer=signer, has_reserve=True)
            try:
                daemon = Daemon(
                    settings, places, store, public=public, load=load, environ=environ, announce=announce
                )
                code: int = uvloop.run(daemon.run(listeners, control))
                return code
            finally:
                store.close()
        finally:
            # After a start that failed too: a socket that nobody serves would be taken for a daemon's.
            places.control_socket.unlink(missing_ok=True)


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
