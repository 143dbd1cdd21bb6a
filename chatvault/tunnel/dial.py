"""A TCP connection to the relay, asked for again and again until one is answered."""

import asyncio
import socket
from contextlib import suppress

# A lost SYN is sent again after 1, 2, 4 s: a second connection asks sooner once the network is back.
_EVERY_SECONDS = 0.5
# Unsent data is worth nothing in the kernel's queue: what waits there can't be overtaken by a token.
_UNSENT_BYTES = 16_384
_USER_TIMEOUT_MS = 20_000
_TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", 25)
_TCP_USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


async def dial(host: str, port: int) -> socket.socket:
    """Return a connected socket, from the first attempt that is answered; another starts every half second.

    It goes on until it is cancelled: the caller sets the deadline. Raises OSError where the host refuses, and
    socket.gaierror where there is no such name.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts: set[asyncio.Task[socket.socket]] = set()
    turn, next_at = 0, loop.time()
    try:
        while True:
            if loop.time() >= next_at or (not attempts and turn < len(found)):
                family, _, _, _, address = found[turn % len(found)]
                attempts.add(loop.create_task(_connect(family, address), name="dial"))
                turn, next_at = turn + 1, loop.time() + _EVERY_SECONDS
            done, attempts = await asyncio.wait(
                attempts, timeout=max(0.0, next_at - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            winner = _winner(done, is_last=turn >= len(found) and not attempts)
            if winner is not None:
                return winner
    finally:
        for attempt in attempts:
            attempt.cancel()
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


def _winner(done: set[asyncio.Task[socket.socket]], *, is_last: bool) -> socket.socket | None:
    """Return the first connection; the others that were made in the same moment are closed."""
    winner: socket.socket | None = None
    error: BaseException | None = None
    for attempt in done:
        error = attempt.exception()
        if error is None:
            if winner is None:
                winner = attempt.result()
            else:
                attempt.result().close()
    if winner is None and error is not None and is_last:
        raise error
    return winner


async def _connect(family: int, address: tuple[object, ...]) -> socket.socket:
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        tune(connection)
        await asyncio.get_running_loop().sock_connect(connection, address)
    except BaseException:
        connection.close()
        raise
    return connection


def tune(connection: socket.socket) -> None:
    """Keep the kernel's unsent data short, and let a connection nobody answers end after 20 s."""
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    set_user_timeout(connection, _USER_TIMEOUT_MS)


def set_user_timeout(connection: socket.socket, milliseconds: int) -> None:
    """Set how long sent data may stay unacknowledged before the kernel gives up; 0: its own default."""
    if _TCP_USER_TIMEOUT is not None:
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, milliseconds)
