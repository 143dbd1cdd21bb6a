"""Listening sockets that systemd has opened for the daemon: a restart then refuses no connection.

The protocol is sd_listen_fds(3): the sockets are the descriptors from 3 on, and `LISTEN_FDNAMES` names them.
"""

import fcntl
import socket
from collections.abc import Mapping, Sequence

from chatvault.errors import ChatVaultError

_FIRST_FD = 3
_HINT = "chatvault.socket needs ListenStream= with an address and a port, and Accept=no"


def inherited_listeners(
    environ: Mapping[str, str], *, pid: int, first_fd: int = _FIRST_FD
) -> list[socket.socket]:
    """Return the TCP sockets that systemd hands over to process `pid`, none where it hands over nothing.

    Raises ChatVaultError for one that the gateway can't serve on: a service that silently listened elsewhere
    than its socket unit says would be worse than one that does not start.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(pid) or not count.isdigit():
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    return [
        _listener(first_fd + at, names[at] if at < len(names) and names[at] else "unknown")
        for at in range(int(count))
    ]


def addresses_of(listeners: Sequence[socket.socket]) -> list[tuple[str, int]]:
    """Return the addresses and ports that are listened on."""
    return [listener.getsockname()[:2] for listener in listeners]


def _listener(fd: int, name: str) -> socket.socket:
    try:
        # Children must not hold the socket open.
        fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        listener = socket.socket(fileno=fd)
    except OSError as exc:
        raise ChatVaultError(
            f"systemd hands over descriptor {fd} ({name}), which is no socket", hint=_HINT
        ) from exc
    is_tcp = listener.family in (socket.AF_INET, socket.AF_INET6) and listener.type == socket.SOCK_STREAM
    if not is_tcp or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise ChatVaultError(
            f"systemd hands over socket {name!r}, which does not listen on a port", hint=_HINT
        )
    listener.setblocking(False)
    return listener
