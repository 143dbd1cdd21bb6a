"""What goes back to a client that isn't a model's answer: errors in OpenAI's shape, and common headers."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from chatvault.errors import ProviderError, RequestError, StorageFull, StoreError

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
SSE_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_ADDRESS = re.compile(r"\A(?:\[[^\]\s]+\]|[^\s:]+):\d{1,5}: ")
_encode = msgspec.json.Encoder().encode


def unauthorized() -> RequestError:
    """Return the one answer to every access token that opens nothing, for whatever reason."""
    return RequestError(
        "Incorrect access token provided. Send it as 'Authorization: Bearer cvk_…' or as 'x-api-key'.",
        status=401,
        code="invalid_api_key",
    )


def as_request_error(
    error: RequestError | ProviderError | StoreError, *, provider: str | None = None
) -> RequestError:
    """Return what a client is told of `error`, which `provider` made.

    Where a provider is at home is nobody's business: it is named in place of its address.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, ProviderError):
        return RequestError(
            _without_address(error, provider),
            status=error.status,
            type=error.type,
            code=error.code,
            param=error.param,
            retry_after=error.retry_after,
        )
    code = "storage_full" if isinstance(error, StorageFull) else "storage_unavailable"
    return RequestError(
        "The request can't be written down, so it was not sent on.",
        status=503,
        type="api_error",
        code=code,
        retry_after=30,
    )


def _without_address(error: ProviderError, provider: str | None) -> str:
    # What a provider itself said has a status; what befell its connection begins with its address.
    if error.upstream_status is not None or provider is None:
        return error.message
    return _ADDRESS.sub(lambda found: f"{provider}: ", error.message)


def error_body(error: RequestError) -> bytes:
    """Return OpenAI's error object."""
    return _encode(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
            }
        }
    )


def error_headers(error: RequestError) -> Headers:
    """Return the headers that go with an error, by what makes clients stop or wait as they should."""
    headers: Headers = []
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
        headers.append((b"x-should-retry", b"false"))
    if error.code == "insufficient_quota":
        # With retry-after some clients sleep for hours; without, and with this, every one stops at once.
        headers.append((b"x-should-retry", b"false"))
    elif error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    return headers


async def send_json(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send one whole JSON answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [JSON_TYPE, (b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: RequestError, headers: Headers) -> None:
    """Send one error in OpenAI's shape."""
    await send_json(send, error.status, error_body(error), [*headers, *error_headers(error)])
