"""Who is at the other end of the control socket, by the kernel's word."""

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_UCRED = struct.Struct("3i")


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's protocol, whose requests carry the caller's user id in `scope["state"]["peer_uid"]`."""

    def connection_made(self, transport: Any) -> None:
        """Note who has connected: what the kernel says was true when they did, and can't be forged."""
        self.app_state["peer_uid"] = _peer_uid(transport)
        super().connection_made(transport)


def _peer_uid(transport: asyncio.BaseTransport) -> int:
    connection = transport.get_extra_info("socket")
    _, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid)
