import asyncio
import socket

import pytest

from chatvault.providers.http import tcp
from chatvault.providers.http.address import Address
from tests.providers.http.conftest import Run
from tests.support.ports import free_port
from tests.support.scripted_server import serving, silence


class Names:
    """A resolver that says what a test wants."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self.addresses = addresses

    async def __call__(self, host: str, port: int, *, type: int) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, type, 6, "", address) for address in self.addresses]


async def connected(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> tuple[str, int]:
    with monkeypatch.context() as patch:
        patch.setattr(asyncio.BaseEventLoop, "getaddrinfo", Names(*addresses))
        sock = await tcp.connect(Address("http", "many.example", 80))
    with sock:
        peer: tuple[str, int] = sock.getpeername()
        return peer


def test_the_next_address_is_tried_when_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving(silence) as server:
            there = ("127.0.0.1", server.port)
            assert await connected(monkeypatch, ("127.0.0.1", free_port()), there) == there

    asyncio.run(main())


def test_the_next_address_is_tried_when_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_HEAD_START_SECONDS", 0.02)
    # A full backlog lets further connections hang.
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        second = socket.socket()
        second.setblocking(False)
        second.connect_ex(full.getsockname())

        async def main() -> None:
            async with serving(silence) as server, asyncio.timeout(5):
                there = ("127.0.0.1", server.port)
                assert await connected(monkeypatch, full.getsockname(), there) == there
                await asyncio.sleep(0)
                assert "dial" not in {task.get_name() for task in asyncio.all_tasks()}

        with second:
            asyncio.run(main())


def test_the_first_failure_is_told_when_all_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connected(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.1", free_port()))

    asyncio.run(main())


def test_families_alternate_beginning_with_the_systems_choice() -> None:
    six = [(socket.AF_INET6, (f"::{n}", 1)) for n in range(3)]
    four = [(socket.AF_INET, ("127.0.0.1", 1))]
    assert tcp._interleaved(six + four) == [six[0], four[0], six[1], six[2]]
    assert tcp._interleaved(four + six) == [four[0], *six]


def test_an_ipv6_literal_needs_no_look_up(run: Run) -> None:
    async def main() -> None:
        try:
            listener = await asyncio.start_server(lambda _reader, writer: writer.close(), "::1", 0)
        except OSError:
            pytest.skip("no IPv6 on this machine")
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            sock = await tcp.connect(Address("http", "::1", port))
            sock.close()
            await asyncio.sleep(0.01)

    run(main())
