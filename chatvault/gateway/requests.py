"""A request as it comes in: its path, its body, and the news that its client has left."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from chatvault.errors import RequestError
from chatvault.gateway.call import Call

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
# Only the path's beginning: a model's name may hold whatever it likes.
_BEGINNING = re.compile(r"/+(?:v1/+)*")


class ClientLeft(Exception):
    """The client went away before its request was whole."""


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """Return a header's value by its lower-case name, b"" without one."""
    for key, value in headers:
        if key == name:
            return value
    return b""


def canonical_path(path: str) -> str:
    """Return the path that a client means: with or without /v1, or twice, or with a slash too many.

    Half of all clients want a base URL with /v1, half without, and some put their own path behind the slash
    that it ends with; whoever guesses wrong is served all the same.
    """
    path = path.rstrip("/")
    if (beginning := _BEGINNING.match(path)) is not None:
        path = ("/v1/" if "v1" in beginning[0] else "/") + path[beginning.end() :]
    if path in ("/chat/completions", "/models") or path.startswith("/models/"):
        return "/v1" + path
    return path or "/"


def check_announced_size(headers: Iterable[tuple[bytes, bytes]], max_bytes: int) -> None:
    """Raise RequestError (413) if the body is announced as too large: before any of it is read."""
    announced = header(headers, b"content-length")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large(max_bytes)


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Return the whole body. Raises RequestError (413) as soon as it is too large, ClientLeft."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large(max_bytes)
    return b"".join(parts)


def too_large(max_bytes: int) -> RequestError:
    """Return the error for a body over the limit."""
    return RequestError(
        f"The body is larger than the {max_bytes:,} bytes this gateway takes (server.max_body_bytes).",
        status=413,
        code="request_too_large",
    )


async def watch_for_leaving(receive: Receive, call: Call) -> None:
    """End the call when its client goes away; nothing else is to come once the body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    call.client_left()
