"""Tests of requests that offer to change to another protocol."""

import pytest

from chatvault.gateway.upgrade_offers import has_body, without_offer


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"content-length", b"3")], True),
        ([(b"host", b"x"), (b"transfer-encoding", b"chunked")], True),
        ([(b"host", b"x"), (b"upgrade", b"h2c")], False),
    ],
)
def test_a_body_shows_in_the_head(headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert has_body(headers) is expected


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (b"Upgrade, HTTP2-Settings", b"keep-alive"),
        (b"upgrade", b"keep-alive"),
        (b"Close, Upgrade", b"close"),
    ],
)
def test_the_offer_alone_is_left_out(said: bytes, left: bytes) -> None:
    headers = [
        (b"connection", said),
        (b"content-length", b"3"),
        (b"host", b"localhost"),
        (b"http2-settings", b"AAMAAABkAAQ"),
        (b"upgrade", b"h2c"),
        (b"x-a", b"upgrade: h2c"),
    ]
    assert without_offer(b"POST", b"/v1?a=b", headers) == (
        b"POST /v1?a=b HTTP/1.1\r\nconnection: " + left + b"\r\ncontent-length: 3\r\nhost: localhost\r\n"
        b"x-a: upgrade: h2c\r\n\r\n"
    )
