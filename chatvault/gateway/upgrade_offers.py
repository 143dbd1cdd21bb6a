"""Requests that offer to change to another protocol, read as if they did not: what is spoken is HTTP/1.1.

Java's client makes such an offer with the first request of a connection. To the parser what follows its head
is the other protocol's, the request's body too; so where there is one the parser is shown all of it again,
without the offer (RFC 9110, 7.8: a server may pass it over).
"""

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

_OFFER = (b"upgrade", b"http2-settings")
_BODY = (b"content-length", b"transfer-encoding")


def has_body(headers: Headers) -> bool:
    """Whether a body stands behind a head. Names are in lower case, here and below."""
    return any(name in _BODY for name, _ in headers)


def without_offer(method: bytes, url: bytes, headers: Headers) -> bytes:
    """Return a request's head as it would have come without an offer."""
    lines = [b"%b %b HTTP/1.1" % (method, url)]
    for name, value in headers:
        if name == b"connection":
            value = b"close" if b"close" in value.lower() else b"keep-alive"
        if name not in _OFFER:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
