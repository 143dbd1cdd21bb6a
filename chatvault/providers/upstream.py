"""Calls to a provider over HTTP, seen from its kind's file: send, judge the status, hand over the answer."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from chatvault.errors import ProviderBroke, ProviderError
from chatvault.providers.refusals import refusal, stream_error

Headers = Sequence[tuple[bytes, bytes]]

ERROR_BODY_LIMIT = 1 << 20
ANSWER_LIMIT = 64 << 20
_RUN_OUT_SECONDS = 0.25
_REQUEST_ID_HEADERS = (b"x-request-id", b"request-id", b"x-ds-trace-id")
_KEY_HEADERS = (b"authorization", b"x-api-key")
_SHORTEST_KEY = 6


class Answer(Protocol):
    """An HTTP answer; `read` returns b"" at its end and raises ProviderError where it breaks.

    `take` returns what `read` would, or None in place of waiting; `notify` says when to look again.
    """

    status: int

    def header(self, name: bytes) -> str | None: ...

    async def read(self) -> bytes: ...

    def take(self) -> bytes | None: ...

    def notify(self, told: Callable[[], None] | None) -> None: ...

    async def read_all(self, limit: int = ...) -> bytes: ...

    def payload_seen(self) -> None: ...

    def close(self) -> None: ...


class Client(Protocol):
    """What is needed of an HTTP client that knows one provider's address."""

    async def request(
        self, method: str, path: str, *, headers: Headers, body: bytes = ..., manual_clock: bool = ...
    ) -> Answer: ...

    async def aclose(self) -> None: ...


def request_id(answer: Answer) -> str | None:
    """Return the provider's own id of a request, where its headers tell one."""
    for name in _REQUEST_ID_HEADERS:
        value = answer.header(name)
        if value:
            return value
    return None


def without_key(said: bytes, headers: Headers) -> bytes:
    """Return what a provider said without the key that stood in `headers`: some repeat what they refuse.

    A key of any shape: of those that it knows by their looks alone, a log would keep the others.
    """
    for name, value in headers:
        key = value.removeprefix(b"Bearer ")
        if name in _KEY_HEADERS and len(key) >= _SHORTEST_KEY:
            said = said.replace(key, "…".encode())
    return said


async def run_out(answer: Answer) -> None:
    """Read the little that may follow a stream's last event, so that its connection can serve another call.

    Never raises for what happens there: the answer is whole.
    """
    try:
        if answer.take() == b"":
            # Mostly the end has come with the last event; a timer would cost each stream 8 µs.
            return
        async with asyncio.timeout(_RUN_OUT_SECONDS):
            while await answer.read():
                pass
    except (TimeoutError, ProviderError):
        pass


async def open_answer(
    client: Client,
    method: str,
    path: str,
    *,
    provider: str,
    headers: Headers,
    body: bytes = b"",
    manual_clock: bool = False,
) -> Answer:
    """Send a request and return the answer once its status says that it was accepted.

    Raises ProviderError: what the refusal's status and body mean, or what went wrong on the way.
    """
    answer = await client.request(method, path, headers=headers, body=body, manual_clock=manual_clock)
    if 200 <= answer.status < 300:
        return answer
    try:
        said = await answer.read_all(ERROR_BODY_LIMIT)
    except ProviderError:
        # The status alone tells enough; a refusal that breaks off is a refusal all the same.
        said = b""
    finally:
        answer.close()
    raise refusal(
        provider,
        answer.status,
        without_key(said, headers),
        retry_after=answer.header(b"retry-after"),
        date=answer.header(b"date"),
        request_id=request_id(answer),
    )


async def fetch(
    client: Client, method: str, path: str, *, provider: str, headers: Headers, body: bytes = b""
) -> tuple[bytes, Answer]:
    """Send a request and return the whole body of its answer, with the answer. Raises ProviderError."""
    answer = await open_answer(client, method, path, provider=provider, headers=headers, body=body)
    try:
        return await answer.read_all(ANSWER_LIMIT), answer
    finally:
        answer.close()


async def open_stream(client: Client, path: str, *, provider: str, headers: Headers, body: bytes) -> Answer:
    """Send a request for a stream and return the answer once it begins. Raises ProviderError.

    Its reader says itself what counts as a sign of life.
    """
    return await open_answer(
        client, "POST", path, provider=provider, headers=headers, body=body, manual_clock=True
    )


def broken_off(provider: str, rest: bytes, *, request_id: str | None) -> ProviderError:
    """Return the error of a stream that ended too early; `rest` is what came in place of its last event.

    JSON without events is an error under a status that says otherwise.
    """
    if rest.lstrip()[:1] == b"{":
        return stream_error(provider, rest, request_id=request_id)
    return ProviderBroke(f"{provider} broke off its answer", upstream_request_id=request_id)
