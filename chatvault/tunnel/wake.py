"""Noticing that this machine slept, or that its network changed."""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

_TICK_SECONDS = 1.0
_LATE_SECONDS = 3.0
# linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400


async def watch_sleep(on_wake: Callable[[float], None]) -> None:
    """Call `on_wake` with the seconds lost, each time this machine or process has slept for more than 3 s."""
    while True:
        before = _clock()
        await asyncio.sleep(_TICK_SECONDS)
        lost = _clock() - before - _TICK_SECONDS
        if lost > _LATE_SECONDS:
            on_wake(lost)


async def watch_network(on_change: Callable[[], None]) -> None:
    """Call `on_change` when an address or a route comes or goes. Returns where that can't be heard."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return
    try:
        listener = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    except OSError:
        return
    loop = asyncio.get_running_loop()
    try:
        listener.bind((0, _GROUPS))

        def read() -> None:
            with suppress(OSError):
                while listener.recv(65_536):
                    pass
            on_change()

        loop.add_reader(listener, read)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(listener)
    except PermissionError:
        return
    finally:
        listener.close()


def _clock() -> float:
    # Unlike the monotonic clock this one goes on while the machine is suspended.
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) if clock is not None else time.time()
