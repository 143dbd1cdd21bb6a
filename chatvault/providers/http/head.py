"""The first lines of a request, in one join; a line break in a value can't become a line of its own."""

import functools
import re
from collections.abc import Iterable, Sequence

from chatvault.errors import ConfigError

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Framing and hop-by-hop fields are this client's business: a second one would let two readers of the same
# bytes disagree about where a request ends.
_OURS = frozenset(
    (
        b"accept-encoding",
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_BODY_METHODS = frozenset(("POST", "PUT", "PATCH"))
_known_names: set[bytes] = set()


def request_head(
    start: bytes, fixed: bytes, headers: Sequence[tuple[bytes, bytes]], *, length: int | None
) -> bytes:
    """Return a request's head: `start` and `fixed` are whole lines, `length` the body's, None for no body.

    Raises ConfigError for a header that is not the caller's to set, or that would break the lines.
    """
    parts = [start, fixed]
    for name, value in headers:
        if name not in _known_names:
            _learn(name)
        parts += (name, b": ", value, b"\r\n")
    if length is not None:
        parts.append(b"content-length: %d\r\n" % length)
    parts.append(b"\r\n")
    return checked(b"".join(parts), headers, lines=fixed.count(b"\n") + (length is not None) + 2)


def raw_head(start: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a head made of exactly these headers, framing included. Raises ConfigError."""
    parts = [start]
    for name, value in headers:
        if _TOKEN.fullmatch(name) is None:
            raise ConfigError(f"{name!r} can't be a header's name")
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return checked(b"".join(parts), headers, lines=2)


def checked(head: bytes, headers: Sequence[tuple[bytes, bytes]], *, lines: int) -> bytes:
    """Return the head if it has a line break for each header and `lines` more. Raises ConfigError."""
    wanted = len(headers) + lines
    if head.count(b"\n") != wanted or head.count(b"\r") != wanted or b"\0" in head:
        raise ConfigError(
            f"a line break or a NUL in the request's header {_culprit(headers)}",
            hint="if it is an API key, look for a line break at its end",
        )
    return head


@functools.lru_cache(maxsize=256)
def start_line(method: str, target: str) -> bytes:
    """Return `METHOD TARGET HTTP/1.1`. Raises ConfigError for a target with blanks or control characters."""
    if not (target.isascii() and target.isprintable()) or " " in target:
        raise ConfigError(
            "a blank, a control character or non-ASCII in a request's path", hint="write it as %XX"
        )
    if not method.isalpha() or not method.isascii():
        raise ConfigError(f"{method!r} is no HTTP method")
    return f"{method} {target} HTTP/1.1\r\n".encode("ascii")


def has_body(method: str, body: bytes) -> bool:
    """Tell whether a request states its length: an empty POST does, too (RFC 9110, 8.6)."""
    return bool(body) or method in _BODY_METHODS


def _learn(name: bytes) -> None:
    if _TOKEN.fullmatch(name) is None:
        raise ConfigError(f"{name!r} can't be a header's name")
    if name.lower() in _OURS:
        raise ConfigError(f"the header {name.decode('ascii')} is not the caller's to set")
    if len(_known_names) < 1000:
        _known_names.add(name)


def _culprit(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if any(char in value for char in b"\r\n\0"):
            return name.decode("ascii")
    return "lines"
