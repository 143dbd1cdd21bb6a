"""Ports of this machine that nothing listens on."""

import secrets
import socket

# Below what Linux gives out by itself: no connection and no other server gets one of these by chance.
_LOWEST, _END = 20_000, 32_768


def free_port() -> int:
    """Return a port that was free just now, and that nobody is given who doesn't ask for it."""
    for _ in range(100):
        port = _LOWEST + secrets.randbelow(_END - _LOWEST)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"no port between {_LOWEST} and {_END} is free")
