"""The public side's settings as its clients meet them: names, other origins' pages, certificates."""

import asyncio
import json
import ssl
import subprocess
from pathlib import Path
from typing import Any

from tests.support.attacked import Attacked
from tests.support.daemon import Daemon, Serve

_ECHO: dict[str, Any] = {"providers": {"echo": {"kind": "echo"}}}
_CHAT = json.dumps({"model": "echo/echo", "messages": [{"role": "user", "content": "hello"}]}).encode()


def test_names_that_are_not_ours_are_refused_and_those_of_the_settings_are_not(serve: Serve) -> None:
    server = {"public_url": "https://gw.example.org:8443", "allowed_hosts": ["box.local"]}
    daemon = serve({**_ECHO, "server": server, "tunnel": {"host": "relay.example.org"}})

    def status(host: str) -> str:
        done = subprocess.run(
            [
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                "-H",
                f"Host: {host}",
                f"{daemon.url}/health",
            ],
            capture_output=True,
            text=True,
        )
        return done.stdout

    for host in (
        "localhost",
        "127.0.0.1:4000",
        "[::1]",
        "gw.example.org:8443",
        "box.local",
        "relay.example.org",
    ):
        assert status(host) == "200", host
    for host in ("evil.example", "gw.example.org.evil.example", "192.0.2.1"):
        assert status(host) == "421", host


def test_a_listed_page_is_answered_to_its_browser_and_others_are_not(serve: Serve) -> None:
    daemon = serve({**_ECHO, "server": {"cors_origins": ["https://chat.example.org"]}})
    secret = daemon.add_token()

    async def ask(method: bytes, origin: bytes, *lines: bytes, body: bytes = b"") -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        head = [method + b" /v1/chat/completions HTTP/1.1", b"host: localhost", b"origin: " + origin, *lines]
        writer.write(b"\r\n".join([*head, b"connection: close", b"", body]))
        got = await reader.read()
        writer.close()
        return got

    async def main() -> None:
        wanted = b"access-control-request-headers: authorization, x-stainless-lang"
        page = b"https://chat.example.org"
        got = await ask(b"OPTIONS", page, b"access-control-request-method: POST", wanted)
        assert got.startswith(b"HTTP/1.1 204 ")
        assert b"access-control-allow-headers: authorization, x-stainless-lang\r\n" in got
        login = b"authorization: Bearer " + secret.encode()
        size = b"content-length: %d" % len(_CHAT)
        for lines, status in (((login, size), b"200"), ((size,), b"401")):
            got = await ask(b"POST", page, *lines, body=_CHAT)
            assert got.startswith(b"HTTP/1.1 " + status)
            assert b"access-control-allow-origin: https://chat.example.org\r\n" in got
            assert b"vary: Origin\r\n" in got
        got = await ask(b"OPTIONS", b"https://evil.example", b"access-control-request-method: POST", wanted)
        assert got.startswith(b"HTTP/1.1 403 ") and b"access-control" not in got
        got = await ask(b"POST", b"https://evil.example", login, size, body=_CHAT)
        assert b"access-control" not in got

    asyncio.run(main())
    assert len(daemon.wait_for_rows(2)) == 2, "OPTIONS makes no row"


def test_https_is_served_and_a_renewed_certificate_taken_up_while_an_answer_runs(
    serve: Serve, tmp_path: Path
) -> None:
    made = Daemon(tmp_path / "maker")
    paths = made.json("tls", "self-signed")
    client = ssl.create_default_context(cafile=paths["ca"])
    server = {"tls": {"cert": paths["cert"], "key": paths["key"]}}
    daemon = serve({**_ECHO, "server": server}, tls=client)
    attacked = Attacked(daemon, client=client)
    status = daemon.json("status")
    assert status["base_url"].startswith("https://127.0.0.1:")

    async def serial() -> str:
        _, writer = await attacked.connect()
        found = writer.get_extra_info("peercert")["serialNumber"]
        writer.transport.abort()
        return str(found)

    async def main() -> None:
        before = await serial()
        reader, writer = await attacked.connect()
        writer.write(attacked.chat(attacked.secret))
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(made.json, "tls", "self-signed")
        async with asyncio.timeout(20):
            while await serial() == before:
                await asyncio.sleep(0.2)
        writer.write(attacked.chat(attacked.secret, b"connection: close"))
        assert b"HTTP/1.1 200 " in await reader.read()
        writer.close()

    asyncio.run(main())


def test_settings_with_a_certificate_that_can_not_be_used_are_refused(tmp_path: Path) -> None:
    tls = {"cert": str(tmp_path / "no.crt"), "key": str(tmp_path / "no.key")}
    daemon = Daemon(tmp_path / "home", {**_ECHO, "server": {"tls": tls}})
    done = daemon.run("serve", "--port", str(daemon.port))
    assert done.returncode == 2
    assert "server.tls.cert" in done.stderr and "Try:" in done.stderr
