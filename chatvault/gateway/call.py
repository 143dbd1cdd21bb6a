"""One running request of a client: what is known of it, and how it can be ended from outside."""

import asyncio
from collections.abc import Iterable
from enum import StrEnum

from chatvault.core.access import AccessToken
from chatvault.core.accounts import Ticket


class Ending(StrEnum):
    """Why a running request was ended before its answer was."""

    CLIENT_LEFT = "client_left"
    TOKEN_REVOKED = "token_revoked"
    STOPPING = "stopping"
    TUNNEL_CLOSES = "tunnel_closes"


class Call:
    """One running request. `started_ms` is epoch milliseconds, `started` is monotonic seconds.

    `doorway` is what it came in by, where that may end before the gateway does: a tunnel's link.
    """

    __slots__ = (
        "client",
        "client_ip",
        "doorway",
        "ending",
        "endpoint",
        "id",
        "is_over",
        "is_stream",
        "model_name",
        "started",
        "started_ms",
        "task",
        "ticket",
        "token",
        "via",
    )

    def __init__(
        self,
        id: str,
        token: AccessToken,
        *,
        started_ms: int,
        started: float,
        client_ip: str,
        via: str,
        client: str,
        endpoint: str,
        task: asyncio.Task[object],
        doorway: object = None,
    ) -> None:
        self.id = id
        self.token = token
        self.started_ms = started_ms
        self.started = started
        self.client_ip = client_ip
        self.via = via
        self.client = client
        self.endpoint = endpoint
        self.task = task
        self.doorway = doorway
        self.model_name = ""
        self.is_stream = False
        self.is_over = False
        self.ending: Ending | None = None
        self.ticket: Ticket | None = None

    def end(self, why: Ending) -> None:
        """End the request at once, at whatever it is waiting for; the first reason counts.

        A request whose answer is complete (`is_over`) is left alone.
        """
        if self.ending is None and not self.is_over:
            self.ending = why
            self.task.cancel()

    def client_left(self) -> None:
        """End the request since its client has gone."""
        self.end(Ending.CLIENT_LEFT)


class RunningCalls:
    """All requests that are running, to be counted, and to be ended when their access token is."""

    def __init__(self) -> None:
        self._calls: set[Call] = set()

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call) -> None:
        """Note that a request has begun."""
        self._calls.add(call)

    def discard(self, call: Call) -> None:
        """Note that a request is over."""
        self._calls.discard(call)

    def tasks(self) -> set[asyncio.Task[object]]:
        """Return the tasks of all requests that are running now."""
        return {call.task for call in self._calls}

    def end_token(self, token_id: str) -> int:
        """Cut all requests of a revoked access token; return how many there were."""
        return _end((call for call in self._calls if call.token.id == token_id), Ending.TOKEN_REVOKED)

    def end_doorway(self, doorway: object) -> int:
        """Cut all requests that came in by `doorway`, since that stops; return how many there were."""
        return _end((call for call in self._calls if call.doorway is doorway), Ending.TUNNEL_CLOSES)

    def end_all(self) -> int:
        """Cut all requests, since the daemon stops; return how many there were."""
        return _end(self._calls, Ending.STOPPING)


def _end(calls: Iterable[Call], why: Ending) -> int:
    chosen = list(calls)
    for call in chosen:
        call.end(why)
    return len(chosen)
