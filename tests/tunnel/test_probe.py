"""Who is met at the public address."""

import asyncio
import contextlib
import socket
import ssl
import struct
from pathlib import Path

import pytest

from chatvault.tunnel.certificate import presented_certificate
from chatvault.tunnel.probe import PATH, Identity, Outside, look_from_outside
from tests.support.certificates import Authority
from tests.support.ports import free_port

_NONCE = "0123456789abcdef" * 2
_OURS, _THEIRS = Identity(b"ours" * 8), Identity(b"theirs" * 8)


def _look(
    answer: bytes | None,
    *,
    port: int | None = None,
    seconds: float = 2.0,
    tls: ssl.SSLContext | None = None,
    certificate: bytes | None = None,
) -> Outside:
    """Look at a server that answers with these bytes; `certificate` is our own."""

    async def main() -> Outside:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            assert asked.startswith(f"GET {PATH}{_NONCE} HTTP/1.1\r\n".encode())
            if answer is None:
                # Until the other side gives up.
                await reader.read()
            else:
                writer.write(answer)
            await _hang_up(writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        async with server:
            where = port or server.sockets[0].getsockname()[1]
            found = await look_from_outside(
                f"{'https' if tls else 'http'}://127.0.0.1:{where}",
                _OURS,
                _NONCE,
                certificate=certificate,
                seconds=seconds,
            )
            await asyncio.sleep(0.05)
            return found

    return asyncio.run(main())


def _http(body: str | None, status: int = 200) -> bytes:
    return f"HTTP/1.1 {status} X\r\n\r\n{body or ''}".encode()


def test_this_daemon_meets_itself() -> None:
    assert _look(_http(_OURS.mark(_NONCE))).is_met


def test_tls_that_someone_else_ends_is_only_somebody_in_the_middle_where_we_have_a_certificate(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path)
    theirs, ours = authority.server("relay"), presented_certificate(authority.server("home"))
    answer = _http(_OURS.mark(_NONCE))
    assert _look(answer, tls=theirs).is_met
    assert _look(answer, tls=theirs, certificate=ours).verdict == "intercepted"
    assert _look(answer, tls=theirs, certificate=presented_certificate(theirs)).is_met


def test_a_connection_that_is_reset_does_not_point_at_the_firewall() -> None:
    async def main() -> Outside:
        def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

        async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await look_from_outside(f"http://127.0.0.1:{port}", _OURS, _NONCE, certificate=None)

    found = asyncio.run(main())
    assert "ends connections at once" in found.detail
    assert "max_connections" in (found.fix or "")


def test_another_daemon_is_told_apart() -> None:
    assert _look(_http(_THEIRS.mark(_NONCE))).verdict == "other_daemon"


@pytest.mark.parametrize("answer", [_http("hello"), _http("", 404), _http("x" * 64), b"220 mail\r\n\r\n"])
def test_a_stranger_is_told_apart(answer: bytes) -> None:
    found = _look(answer)
    assert found.verdict == "stranger"
    assert found.fix


def test_a_port_nobody_listens_on_is_refused() -> None:
    assert _look(None, port=free_port()).verdict == "refused"


def test_silence_points_at_the_firewall() -> None:
    found = _look(None, seconds=0.2)
    assert found.verdict == "silent"
    assert "security group" in (found.fix or "")


@pytest.mark.parametrize("nonce", ["", "x" * 32, "0" * 31, "0" * 33, "../../../etc/passwd", "A" * 32])
def test_what_is_no_nonce_gets_no_mark(nonce: str) -> None:
    assert _OURS.mark(nonce) is None


def test_a_mark_is_this_daemons_and_this_nonces() -> None:
    marks = {identity.mark(nonce) for identity in (_OURS, _THEIRS) for nonce in (_NONCE, "0" * 32)}
    assert len(marks) == 4


def test_the_certificate_is_the_one_that_is_shown(tmp_path: Path) -> None:
    context = Authority(tmp_path).server("localhost")
    shown = presented_certificate(context)

    async def main() -> bytes | None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            await _hang_up(writer)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
            seen: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            await _hang_up(writer)
            await asyncio.sleep(0.05)
            return seen

    assert asyncio.run(main()) == shown


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
