"""A connection that is asked for until somebody answers."""

import asyncio
import socket
import time

import pytest

from chatvault.tunnel.dial import dial
from tests.support.ports import free_port


def test_a_listener_is_reached() -> None:
    async def main() -> None:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            await dial("127.0.0.1", server.getsockname()[1]) as connection,
        ):
            assert connection.getpeername() == server.getsockname()
            assert connection.getblocking() is False

    asyncio.run(main())


def test_a_refusal_is_told_at_once() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            async with asyncio.timeout(5):
                await dial("127.0.0.1", free_port())

    asyncio.run(main())


def test_silence_is_asked_again_every_half_second() -> None:
    """A listener whose queue is full drops what comes: later it has room, and a later attempt gets in."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
            port = server.getsockname()[1]
            fillers = []
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
                fillers.append(filler)
            dialling = asyncio.ensure_future(dial("127.0.0.1", port))
            await asyncio.sleep(3.3)
            assert not dialling.done()
            freed = time.monotonic()
            for _ in fillers:
                server.setblocking(False)
                try:
                    server.accept()[0].close()
                except BlockingIOError:
                    break
            async with asyncio.timeout(30):
                (await dialling).close()
            # The kernel itself asks again one, three and seven seconds after a first attempt.
            assert time.monotonic() - freed < 3
            for filler in fillers:
                filler.close()

    asyncio.run(main())


def test_a_dial_that_is_given_up_leaves_nothing_open() -> None:
    async def main() -> None:
        # TEST-NET-1 leads nowhere; where there is no route at all it fails at once, and that is well too.
        with pytest.raises((TimeoutError, OSError)):
            async with asyncio.timeout(0.3):
                await dial("192.0.2.1", 9)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
