"""Tests of what other origins' pages are told."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from chatvault.errors import ConfigError
from chatvault.gateway.cors import Cors

PAGE = b"https://chat.example.org"
CORS = Cors(["https://chat.example.org/", "http://localhost:3000"])


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []

    async def __call__(self, message: Mapping[str, Any]) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    def header(self, name: bytes) -> bytes | None:
        return dict(self.messages[0]["headers"]).get(name)


def preflight(cors: Cors, *headers: tuple[bytes, bytes]) -> Sent:
    sent = Sent()
    asyncio.run(cors.preflight(headers, sent))
    return sent


def answer(cors: Cors, *headers: tuple[bytes, bytes]) -> Sent:
    sent = Sent()
    start = {"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"1")]}
    asyncio.run(cors.wrap(headers, sent)(start))
    return sent


def test_a_listed_page_may_send_whatever_headers_it_asks_for() -> None:
    wanted = b"authorization, content-type, x-stainless-lang, x-stainless-os"
    sent = preflight(CORS, (b"origin", PAGE), (b"access-control-request-headers", wanted))
    assert sent.status == 204
    assert sent.header(b"access-control-allow-origin") == PAGE
    assert sent.header(b"access-control-allow-headers") == wanted
    assert b"POST" in (sent.header(b"access-control-allow-methods") or b"")
    assert sent.header(b"access-control-allow-credentials") is None
    assert sent.header(b"vary") == b"Origin, Access-Control-Request-Headers"


@pytest.mark.parametrize(
    "origin",
    [
        b"https://evil.example",
        b"https://chat.example.org.evil.example",
        b"http://chat.example.org",
        b"https://chat.example.org:8443",
        b"null",
    ],
)
@pytest.mark.parametrize("cors", [CORS, Cors()])
def test_no_other_page_may(cors: Cors, origin: bytes) -> None:
    sent = preflight(cors, (b"origin", origin), (b"access-control-request-headers", b"authorization"))
    assert sent.status == 403
    assert not [name for name, _ in sent.messages[0]["headers"] if name.startswith(b"access-control")]
    assert answer(cors, (b"origin", origin)).header(b"access-control-allow-origin") is None


def test_options_without_an_origin_says_which_methods_there_are() -> None:
    sent = preflight(CORS)
    assert sent.status == 204
    assert sent.header(b"allow") == b"GET, HEAD, POST, OPTIONS"


def test_a_listed_page_may_read_an_answer_and_our_headers() -> None:
    sent = answer(CORS, (b"origin", PAGE))
    assert sent.header(b"access-control-allow-origin") == PAGE
    exposed = sent.header(b"access-control-expose-headers") or b""
    for name in (b"x-request-id", b"retry-after", b"x-chatvault-route", b"x-chatvault-dropped"):
        assert name in exposed
    assert sent.header(b"vary") == b"Origin"
    assert sent.header(b"x-request-id") == b"1"


def test_a_cache_must_not_give_one_pages_answer_to_another() -> None:
    assert answer(CORS).header(b"vary") == b"Origin"


@pytest.mark.parametrize("text", ["*", "chat.example.org", "https://*.example.org", "https://a.example/chat"])
def test_what_is_no_origin_is_an_error_of_the_settings(text: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.cors_origins"):
        Cors([text])
