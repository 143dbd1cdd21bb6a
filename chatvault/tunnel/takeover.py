"""Freeing the public port that a dead session of ours still holds on the relay.

sshd looks whether its client is alive only while the port is quiet: with anyone knocking there, a session
cut off by the network keeps its listener until TCP gives up, a quarter of an hour later. Two ways free it at
once: resetting the old TCP connection from this side, which was kept for that; and, where the relay was set
up by `chatvault tunnel setup`, asking it to end this user's other sessions. It can't tell them
apart, so that waits until no answer runs in any of ours.
"""

import asyncio
import socket
import struct
from contextlib import suppress

import asyncssh

from chatvault.tunnel.dial import set_user_timeout

COMMAND = "chatvault-takeover"
_SECONDS = 4.0
_MOST_PARKED = 8


class Parked:
    """The TCP connections of links that went silent, kept open so that they can be reset later."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __len__(self) -> int:
        return len(self._sockets)

    def keep(self, connection: socket.socket) -> None:
        """Keep `connection`, a duplicate that nothing else uses, for as long as the kernel will."""
        # The user timeout would have it end here while the relay's side of it lives on.
        set_user_timeout(connection, 0)
        self._sockets.append(connection)
        while len(self._sockets) > _MOST_PARKED:
            self._sockets.pop(0).close()

    def reset(self) -> int:
        """Reset them all, now that a new login has shown that the way is good; return how many there were."""
        count = len(self._sockets)
        for connection in self._sockets:
            with suppress(OSError):
                # Closing with no time to linger sends RST: sshd ends that session in milliseconds.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self._sockets.clear()
        return count

    def close(self) -> None:
        """Let them go."""
        self.reset()


async def take_over(link: asyncssh.SSHClientConnection) -> int | None:
    """Have the relay end this user's other sessions; return how many, None where it can't."""
    try:
        async with asyncio.timeout(_SECONDS):
            done = await link.run(COMMAND, check=False)
    except (asyncssh.Error, OSError, TimeoutError):
        return None
    word, _, count = str(done.stdout or "").strip().partition(" ")
    return int(count) if word == "ended" and count.isdigit() else None
