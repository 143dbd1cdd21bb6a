"""Waits for something to come true, instead of for a while that a busy machine may not find enough."""

import asyncio
import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.005


async def until(is_so: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait until `is_so` returns something true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s"
        await asyncio.sleep(_PAUSE_SECONDS)
