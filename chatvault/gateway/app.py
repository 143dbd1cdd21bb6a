"""The ASGI app: the hot route answered here, every other one by FastAPI behind it.

FastAPI's router and request objects cost as much as all the rest of a request; so the one route that carries
the traffic stands in front of it, in plain ASGI. FastAPI still describes it, and serves it where it is called
directly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from chatvault.core.access import AccessToken
from chatvault.errors import RequestError
from chatvault.gateway.answers import Headers, Send, send_error, send_json
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.books import Books
from chatvault.gateway.call import Call, RunningCalls
from chatvault.gateway.client_name import client_name
from chatvault.gateway.cors import Cors
from chatvault.gateway.relay import Relay
from chatvault.gateway.request_ids import new_request_id
from chatvault.gateway.requests import (
    ClientLeft,
    Receive,
    canonical_path,
    check_announced_size,
    header,
    read_body,
    watch_for_leaving,
)
from chatvault.gateway.throttle import LoginThrottle

Scope = Mapping[str, Any]
AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

CHAT_PATH = "/v1/chat/completions"
# The outside check's own question; it tells nothing to whoever does not know the daemon's key.
PROBE_PATH = "/.well-known/chatvault-probe/"
_HEALTH = b'{"status":"ok"}'


class ChatRoute:
    """Serve POST /v1/chat/completions: the door, the body, the relay, and an eye on the client."""

    def __init__(
        self,
        *,
        doorkeeper: Doorkeeper,
        relay: Relay,
        books: Books,
        running: RunningCalls,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        max_body_bytes: int,
        logins: LoginThrottle | None = None,
    ) -> None:
        self._doorkeeper = doorkeeper
        self._logins = LoginThrottle(clock) if logins is None else logins
        self._relay = relay
        self._books = books
        self._running = running
        self._now_ms = now_ms
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        now_ms = self._now_ms()
        call_id = new_request_id(now_ms)
        out: Headers = [(b"x-request-id", call_id.encode())]
        headers = scope["headers"]
        token = self._doorkeeper.identify(headers)
        if token is None:
            refused = self._logins.refuse(_address(scope), request_id=call_id)
            await send_error(send, refused, [*out, *_closing(headers)])
            return
        call = self._call(scope, call_id, token, now_ms)
        self._running.add(call)
        try:
            try:
                check_announced_size(headers, self._max_body_bytes)
                raw = await read_body(receive, self._max_body_bytes)
            except RequestError as exc:
                self._books.refuse(call, http_status=exc.status, error_code=exc.code)
                await send_error(send, exc, [*out, (b"connection", b"close")])
                return
            except ClientLeft:
                self._books.refuse(call, http_status=499, error_code="client_left")
                return
            extensions = scope.get("extensions", {})
            when_left = extensions.get("chatvault.when_left")
            if when_left is None:
                await self._watched(call, raw, receive, send, out)
            else:
                when_left(call.client_left)
                await self._relay.serve(call, raw, send, out, push=extensions.get("chatvault.push"))
        finally:
            self._running.discard(call)

    async def _watched(self, call: Call, raw: bytes, receive: Receive, send: Send, out: Headers) -> None:
        """Serve a call whose client's leaving only shows in `receive`: under another server than ours."""
        watcher = call.task.get_loop().create_task(watch_for_leaving(receive, call))
        try:
            await self._relay.serve(call, raw, send, out)
        finally:
            watcher.cancel()

    def _call(self, scope: Scope, call_id: str, token: AccessToken, now_ms: int) -> Call:
        task = asyncio.current_task()
        assert task is not None
        extensions = scope.get("extensions", {})
        return Call(
            call_id,
            token,
            started_ms=now_ms,
            started=self._clock(),
            client_ip=_address(scope),
            via=extensions.get("chatvault.via", "local"),
            client=client_name(header(scope["headers"], b"user-agent")),
            endpoint=CHAT_PATH,
            task=task,
            doorway=extensions.get("chatvault.doorway"),
        )


class Gateway:
    """The outermost app. `api` is FastAPI's; it is asked for everything but the hot route and the probes."""

    def __init__(
        self,
        chat: ChatRoute,
        api: AsgiApp,
        *,
        cors: Cors | None = None,
        probe: Callable[[str], str | None] | None = None,
    ) -> None:
        self._chat = chat
        self._api = api
        self._cors = Cors() if cors is None else cors
        self._has_cors = self._cors.is_on
        self._probe = probe

    def use(self, chat: ChatRoute, api: AsgiApp) -> None:
        """Serve by other settings from the next request on; those that run end as they began."""
        self._chat = chat
        self._api = api

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        path = scope["path"]
        if path != CHAT_PATH:
            path = canonical_path(path)
        method = scope["method"]
        if method == "OPTIONS":
            await self._cors.preflight(scope["headers"], send)
            return
        if self._has_cors:
            send = self._cors.wrap(scope["headers"], send)
        if path == CHAT_PATH and method == "POST":
            await self._chat(scope, receive, send)
        elif path == "/health" and method in ("GET", "HEAD"):
            await send_json(send, 200, _HEALTH, [])
        elif path.startswith(PROBE_PATH) and self._probe and (mark := self._probe(path[len(PROBE_PATH) :])):
            await send_json(send, 200, mark.encode(), [])
        else:
            # HEAD is GET without the body, which the server leaves out; clients ask so whether one is there.
            asked = "GET" if method == "HEAD" else method
            await self._api({**scope, "path": path, "method": asked}, receive, send)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _closing(headers: Headers) -> Headers:
    """Return `connection: close` where an unread body would follow: nobody reads on for a stranger."""
    has_body = header(headers, b"content-length") not in (b"", b"0") or header(headers, b"transfer-encoding")
    return [(b"connection", b"close")] if has_body else []
