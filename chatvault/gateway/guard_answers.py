"""What the guard says to a connection before it ends it: whole answers, ready for the wire."""

from http import HTTPStatus

from chatvault.errors import RequestError
from chatvault.gateway.answers import error_body, error_headers


def refusal(status: int, code: str, message: str, *, retry_after: int | None = None) -> bytes:
    """Return an HTTP answer in OpenAI's error shape, after which the connection closes."""
    kind = "invalid_request_error" if status < 429 or status == 431 else "api_error"
    if status == 429:
        kind = "rate_limit_error"
    error = RequestError(message, status=status, type=kind, code=code, retry_after=retry_after)
    body = error_body(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *error_headers(error),
    ]
    lines = b"".join(b"%b: %b\r\n" % each for each in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), lines, body)


def foreign_host(host: bytes) -> bytes:
    """Return the answer to a request for a name that is not ours."""
    name = host[:200].decode("latin-1")
    message = f"This gateway does not answer to the name {name!r}. "
    return refusal(421, "host_not_allowed", f"{message}Its owner can add it to server.allowed_hosts.")


def head_too_large(max_bytes: int, max_headers: int) -> bytes:
    """Return the answer to a head beyond the limits."""
    message = f"The request's head is over {max_bytes:,} bytes or {max_headers} headers."
    return refusal(431, "request_head_too_large", message)


NO_HOST = refusal(400, "invalid_host", "The request has no Host header.")
TWO_HOSTS = refusal(400, "invalid_host", "The request has two Host headers.")
NOT_HTTP = refusal(400, "invalid_http", "That is not HTTP/1.1 as it is written.")
BARREN_BODY = refusal(400, "invalid_http", "The body has chunk extensions or trailers without end.")
HEAD_TOO_SLOW = refusal(408, "request_timeout", "The request's headers did not come in time.")
BODY_TOO_SLOW = refusal(408, "request_timeout", "The request's body came too slowly.")
TOO_MANY_WAITING = refusal(429, "rate_limit_exceeded", "Too many requests wait on this connection.")
HTTPS_ONLY = refusal(400, "https_only", "This port speaks HTTPS: use https:// in the address.")
