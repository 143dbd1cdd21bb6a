"""What a provider gets to see of a client: nothing of its headers, whichever way it asks."""

import asyncio
from typing import Any

import pytest

from tests.support.daemon import Serve
from tests.support.openai_shape import UPSTREAM_KEY, settings
from tests.support.scripted import Upstream

_MARK = "client-said-this"
# Hop-by-hop ones, ones that carry secrets, ones that pretend to come from a proxy, ones of SDKs.
_NAMES = [
    "te",
    "trailer",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "cookie",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "forwarded",
    "x-real-ip",
    "via",
    "origin",
    "referer",
    "user-agent",
    "accept",
    "accept-language",
    "openai-organization",
    "openai-project",
    "anthropic-version",
    "anthropic-beta",
    "x-stainless-lang",
    "x-api-key",
    "api-key",
    "traceparent",
    "baggage",
    "x-request-id",
    "x-http-method-override",
    "idempotency-key",
    "x-anything",
]


@pytest.mark.parametrize("stream", [False, True])
def test_no_header_of_a_client_goes_upstream(serve: Serve, upstream: Upstream, stream: bool) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    body = (
        b'{"model":"mock/fixed","messages":[{"role":"user","content":"hi"}],"stream":%b}'
        % str(stream).lower().encode()
    )
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        "host: localhost",
        f"authorization: Bearer {secret}",
        # What is named here is hop-by-hop, too.
        "connection: close, x-anything, authorization",
        "content-type: application/json; charset=utf-8",
        f"content-length: {len(body)}",
        *(f"{name}: {_MARK}" for name in _NAMES),
    ]

    async def main() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        got = await reader.read()
        writer.close()
        return got

    assert asyncio.run(main()).startswith(b"HTTP/1.1 200 ")
    (seen,) = [each for each in upstream.calls if "chat" in each.path]
    sent: dict[str, Any] = dict(seen.headers)
    assert sent.pop("host") == upstream.url.removeprefix("http://")
    assert sent.pop("authorization") == f"Bearer {UPSTREAM_KEY}"
    assert not [name for name, value in sent.items() if _MARK in value or secret in value]
    assert sent.keys() <= {"content-type", "content-length", "accept", "accept-encoding", "user-agent"}
