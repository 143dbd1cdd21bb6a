"""From a host's name to a connected socket.

Addresses are tried after RFC 8305 ("happy eyeballs"): the next one starts when the last has failed or made
no headway for a quarter of a second, and the first that answers wins. uvloop would wait out one dead address
before it tries the next, which at a home with broken IPv6 is every cloud provider.
"""

import asyncio
import itertools
import socket
from typing import Any

from chatvault.providers.http.address import Address, literal

_HEAD_START_SECONDS = 0.25

Candidate = tuple[socket.AddressFamily, tuple[Any, ...]]


async def connect(address: Address) -> socket.socket:
    """Return a socket connected to the address. Raises OSError."""
    candidates = await _resolve(address)
    if len(candidates) == 1:
        return await _try(candidates[0])
    return await _race(candidates)


async def _resolve(address: Address) -> list[Candidate]:
    loop = asyncio.get_running_loop()
    ip = literal(address.host)
    if ip is not None and "%" not in address.host:
        family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
        return [(family, (address.host, address.port))]
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise socket.gaierror from exc
    return _interleaved([(socket.AddressFamily(family), sockaddr) for family, _, _, _, sockaddr in found])


def _interleaved(candidates: list[Candidate]) -> list[Candidate]:
    """Alternate between the families, the system's preferred one first (RFC 8305, 4)."""
    first = [candidate for candidate in candidates if candidate[0] == candidates[0][0]]
    others = [candidate for candidate in candidates if candidate[0] != candidates[0][0]]
    pairs = itertools.zip_longest(first, others)
    return [candidate for pair in pairs for candidate in pair if candidate is not None]


async def _try(candidate: Candidate) -> socket.socket:
    family, sockaddr = candidate
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Models are silent for long: the system shall probe whether the other side is still there.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 45)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
        await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(candidates: list[Candidate]) -> socket.socket:
    loop = asyncio.get_running_loop()
    waiting = iter(candidates)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError | None = None
    try:
        while True:
            candidate = next(waiting, None)
            if candidate is not None:
                running.add(loop.create_task(_try(candidate), name="dial"))
            elif not running:
                raise failure or OSError("no address")
            done, running = await asyncio.wait(
                running,
                timeout=_HEAD_START_SECONDS if candidate is not None else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner, failure = _judge(done, failure)
            if winner is not None:
                return winner
    finally:
        for task in running:
            task.add_done_callback(_close_late_winner)
            task.cancel()


def _judge(
    done: set[asyncio.Task[socket.socket]], failure: OSError | None
) -> tuple[socket.socket | None, OSError | None]:
    winner: socket.socket | None = None
    for task in done:
        exc = task.exception()
        if exc is None:
            if winner is None:
                winner = task.result()
            else:
                task.result().close()
        elif isinstance(exc, OSError):
            failure = failure or exc
        else:
            raise exc
    return winner, failure


def _close_late_winner(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
