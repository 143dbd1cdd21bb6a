"""The daemon's side of the control socket: HTTP with JSON, on a socket nobody else can open.

The socket is 0600 from its first moment: it is bound under a umask, and opened to a group afterwards where
the daemon is the system's. It stands only while its owner holds the writer's lock, so a file that is there
already was left by a process that is gone.
"""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from chatvault.control.address import fitting_address
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, NotPermitted, UsageError

Handler: TypeAlias = Callable[[JsonObject], Awaitable[JsonObject]]
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]

_LONGEST_BODY = 1_000_000
_TURNS_SECONDS = 0.01
_STATUS = {2: 400, 3: 503, 4: 403, 5: 502, 6: 409}


class ControlApp:
    """An ASGI app: `routes` maps a method and a path to what answers it.

    A handler is given the JSON body of a POST, or the query of a GET. A ChatVaultError it raises becomes the
    error object; any other ends the request as a 500 and stands in the log.
    """

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = routes

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"nothing but HTTP is spoken here: {scope['type']}")
        try:
            status, answer = 200, await self._answer(scope, receive)
        except ChatVaultError as exc:
            status, answer = _STATUS.get(exc.exit_code, 500), _error_object(exc)
        body = json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Callable[[], Awaitable[Message]]) -> JsonObject:
        _check_peer(scope)
        handler = self._routes.get((scope["method"], scope["path"]))
        if handler is None:
            raise UsageError(
                f"the daemon does not know {scope['method']} {scope['path']}",
                hint="restart the daemon: it may be older than this command",
            )
        if scope["method"] == "GET":
            return await handler(dict(parse_qsl(scope["query_string"].decode("latin-1"))))
        return await handler(await _body(receive))


def _check_peer(scope: Scope) -> None:
    """Let the service's own user and root change things, and whoever else got as far as this read."""
    uid = scope.get("state", {}).get("peer_uid")
    if scope["method"] != "GET" and uid not in (0, os.geteuid()):
        raise NotPermitted(
            "only root and the user that the daemon runs as may change anything", hint="use sudo"
        )


async def _body(receive: Callable[[], Awaitable[Message]]) -> JsonObject:
    data = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise UsageError("the caller left")
        data += message.get("body", b"")
        if len(data) > _LONGEST_BODY:
            raise UsageError("the body is too long")
        if not message.get("more_body", False):
            break
    try:
        body = json.loads(data or b"{}")
    except ValueError as exc:
        raise UsageError("the body is not JSON") from exc
    if not isinstance(body, dict):
        raise UsageError("the body is not a JSON object")
    return body


def _error_object(exc: ChatVaultError) -> JsonObject:
    return {"error": {"message": str(exc), "hint": exc.hint, "exit_code": exc.exit_code}}


def bind_control_socket(path: Path, *, group: int | None = None) -> socket.socket:
    """Bind and listen at `path`, 0600 at birth. The caller holds the writer's lock. Raises ChatVaultError.

    With `group` its members may connect too: they are told from the owner by the kernel's word.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The umask is the whole process's: nothing else may be creating files now, and nothing is, at start-up.
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        with fitting_address(path) as address:
            listener.bind(address)
        if group is not None:
            # A service that runs in that group needs no chown, which its sandbox forbids.
            if path.stat().st_gid != group:
                os.chown(path, -1, group)
            path.chmod(0o660)
        listener.listen(64)
    except OSError as exc:
        listener.close()
        raise ChatVaultError(f"{path} can't be listened on: {exc.strerror}") from exc
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


class ControlServer:
    """Serves a ControlApp on a bound socket, by uvicorn's HTTP protocol inside the daemon's own loop."""

    def __init__(self, app: ControlApp, listener: socket.socket, path: Path) -> None:
        self._app = app
        self._listener = listener
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept."""
        from uvicorn import Config
        from uvicorn.server import ServerState

        from chatvault.control.peer import PeerProtocol

        config = Config(
            self._app, lifespan="off", log_config=None, access_log=False, server_header=False, ws="none"
        )
        config.load()
        self._state = ServerState()
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: PeerProtocol(config=config, server_state=self._state, app_state={}),
            sock=self._listener,
        )

    async def stop(self, *, seconds: float = 2.0) -> None:
        """Stop accepting, let answers under way end within `seconds`, and take the socket away."""
        self._path.unlink(missing_ok=True)
        if self._server is None:
            self._listener.close()
            return
        # A connection accepted just now becomes known in one of the loop's next turns; asyncio trips over it
        # where the server is closed before.
        asyncio.get_running_loop().remove_reader(self._listener)
        await asyncio.sleep(_TURNS_SECONDS)
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(set(self._state.tasks), timeout=seconds)
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(_TURNS_SECONDS)
