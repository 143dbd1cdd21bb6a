"""Pages of other origins: which may call the gateway by script, and what their browsers are told.

Allowed headers are reflected: clients send their own (x-stainless-… and the like), and every fixed list of
them has broken somebody. No cookies are in play, so nothing is sent that would allow credentials.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from chatvault.errors import ConfigError, RequestError
from chatvault.gateway.answers import Headers, Send, send_error
from chatvault.gateway.requests import header

_METHODS = b"GET, HEAD, POST, OPTIONS"
_EXPOSED = (
    b"x-request-id, retry-after, x-should-retry, x-chatvault-route, x-chatvault-dropped, "
    b"x-ratelimit-limit-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, "
    b"x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, x-ratelimit-reset-tokens"
)
_VARY = (b"vary", b"Origin")
_MAX_AGE = (b"access-control-max-age", b"600")


class Cors:
    """Know the origins whose pages may call. Raises ConfigError for one that is none."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(_origin(each).encode("latin-1") for each in origins)

    @property
    def is_on(self) -> bool:
        """Whether any origin is listed."""
        return bool(self._origins)

    def allowed(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
        """Return the request's origin if it is listed."""
        origin = header(headers, b"origin")
        return origin if origin in self._origins else None

    def wrap(self, headers: Iterable[tuple[bytes, bytes]], send: Send) -> Send:
        """Return a `send` that tells the browser who may read the answer."""
        added = [_VARY]
        origin = self.allowed(headers)
        if origin is not None:
            added += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

        async def sending(message: Mapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        return sending

    async def preflight(self, headers: Iterable[tuple[bytes, bytes]], send: Send) -> None:
        """Answer OPTIONS: no login, no effect, and nothing about what there is."""
        headers = list(headers)
        origin = self.allowed(headers)
        vary: Headers = [(b"vary", b"Origin, Access-Control-Request-Headers")]
        if origin is None:
            if header(headers, b"origin"):
                await send_error(send, _not_listed(), vary)
            else:
                await _send_empty(send, [(b"allow", _METHODS), *vary])
            return
        out: Headers = [
            *vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", _METHODS),
            _MAX_AGE,
        ]
        wanted = header(headers, b"access-control-request-headers")
        if wanted:
            out.append((b"access-control-allow-headers", wanted))
        if header(headers, b"access-control-request-private-network") == b"true":
            out.append((b"access-control-allow-private-network", b"true"))
        await _send_empty(send, out)


async def _send_empty(send: Send, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _not_listed() -> RequestError:
    return RequestError(
        "Pages of this origin may not call this gateway. Its owner can add it to server.cors_origins.",
        status=403,
        code="origin_not_allowed",
    )


def _origin(text: str) -> str:
    """Return an origin as browsers write it: scheme://host[:port], nothing after."""
    url = urlsplit(text.strip().lower())
    if text == "null":
        return text
    if not url.scheme or not url.hostname or url.path not in ("", "/") or url.query or "*" in text:
        raise ConfigError(
            f"server.cors_origins: {text!r} is no origin",
            hint="write scheme, host and port, each page's by itself: https://chat.example.org",
        )
    default = {"http": ":80", "https": ":443"}.get(url.scheme)
    return f"{url.scheme}://{url.netloc.removesuffix(default) if default else url.netloc}"
