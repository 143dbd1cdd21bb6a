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
