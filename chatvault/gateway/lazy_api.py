"""FastAPI behind the hot route, imported when somebody asks for what only it serves.

Its import takes a third of a second and 30 MB; a gateway that answers chats needs neither. It happens in a
thread, so that running streams don't notice.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from chatvault.gateway.app import AsgiApp


class LazyApi:
    """Stand for an ASGI app until it is first called for."""

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build
        self._api: AsgiApp | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Build the app if need be, and hand the request on."""
        if self._api is None:
            async with self._lock:
                if self._api is None:
                    self._api = await asyncio.to_thread(self._build)
        await self._api(scope, receive, send)
