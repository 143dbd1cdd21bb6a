"""Listening: what can't be listened on is told with what to do, and what is served can change."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from chatvault.daemon.http_server import HttpServer, bind
from chatvault.errors import ChatVaultError
from chatvault.gateway.tls import Certificates
from tests.support.certificates import Authority


def test_an_address_of_another_machine_is_told_apart_from_a_port_that_is_taken() -> None:
    with pytest.raises(ChatVaultError, match="can't be listened on") as caught:
        bind("203.0.113.7", 0)
    assert "address of this machine" in (caught.value.hint or "")


def test_a_port_that_is_taken_says_how_to_see_by_whom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ChatVaultError, match="already in use") as caught:
            bind("127.0.0.1", port)
    assert f"sport = :{port}" in (caught.value.hint or "")


def test_a_connection_of_the_other_scheme_ends_when_the_certificate_comes_or_goes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server("localhost")
    pem = tmp_path / "localhost.pem"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"hello")

    async def main() -> None:
        listeners = bind("127.0.0.1", 0)
        server = HttpServer(app, listeners)
        await server.start()
        port = server.addresses[0][1]
        plain = await asyncio.open_connection("127.0.0.1", port)
        await ask(*plain)

        server.use(Certificates(pem, pem))

        assert await plain[0].read() == b""
        secure = await asyncio.open_connection(
            "127.0.0.1", port, ssl=authority.client(), server_hostname="localhost"
        )
        await ask(*secure)
        server.use(Certificates(pem, pem))
        await ask(*secure)
        server.use(None)
        assert await secure[0].read() == b""
        for _, writer in (plain, secure):
            writer.close()
        await server.stop(drain_seconds=5, hurry=asyncio.Event())
        await server.abandon(seconds=0)

    asyncio.run(main())
