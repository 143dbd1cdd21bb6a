import asyncio
import contextlib
import gc
import socket

import pytest

from chatvault.errors import ProviderUnreachable
from chatvault.providers.http import HttpClient, pool
from chatvault.providers.http.faults import Disconnected
from tests.providers.http.conftest import Run
from tests.support.scripted_server import Peer, forever, serving
from tests.support.waiting import until


async def ask(client: HttpClient, method: str = "POST") -> bytes:
    answer = await client.request(method, "/", body=b"{}" if method == "POST" else b"")
    return await answer.read_all()


def test_one_connection_serves_one_request_after_the_other(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            for _ in range(5):
                assert await ask(client) == b"ok"
            assert client.counts.connections == len(server.peers) == 1
            await client.aclose()

    run(main())


def test_requests_at_once_take_a_connection_each_and_wait_for_none(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            assert await asyncio.gather(*[ask(client) for _ in range(20)]) == [b"ok"] * 20
            assert len(server.peers) == 20
            await ask(client)
            assert len(server.peers) == 20
            await client.aclose()

    run(main())


def test_the_connection_used_last_is_used_next(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url)
            first, second = await client.request("GET", "/"), await client.request("GET", "/")
            await first.read_all()
            await second.read_all()
            used = [len(peer.requests) for peer in server.peers]
            for _ in range(3):
                await ask(client)
            grown = [len(peer.requests) - before for peer, before in zip(server.peers, used, strict=True)]
            assert sorted(grown) == sorted([0] * (len(grown) - 1) + [3])
            await client.aclose()

    run(main())


def test_no_more_than_max_idle_connections_are_kept(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url, max_idle=2)
            await asyncio.gather(*[ask(client) for _ in range(6)])
            await until(lambda: client._pool().idle_count == client._pool().open_count == 2)
            await client.aclose()

    run(main())


def test_idle_connections_are_closed_after_a_while_and_busy_ones_not(run: Run) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url, idle_seconds=0.7)
            await asyncio.gather(ask(client), ask(client))
            await until(lambda: client._pool().idle_count == 2)
            for _ in range(5):
                await asyncio.sleep(0.18)
                await ask(client)
            await until(lambda: client._pool().idle_count == 1)
            assert client.counts.connections == 2
            await until(lambda: client._pool().open_count == 0)
            await client.aclose()

    run(main())


def test_a_connection_closed_while_idle_is_not_used(run: Run) -> None:
    async def once(peer: Peer) -> None:
        await peer.answer()

    async def main() -> None:
        async with serving(once, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            await until(lambda: client._pool().open_count == 0)
            await ask(client)
            assert (client.counts.connections, client.counts.retries) == (2, 0)
            await client.aclose()

    run(main())


def test_a_close_that_the_loop_has_not_seen_is_noticed_before_use(run: Run) -> None:
    async def main() -> None:
        async with serving(forever, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            # The loop has no chance to run in between.
            server.peers[0].half_close()
            assert client._pool().idle_count == 1
            await ask(client)
            assert (client.counts.connections, client.counts.retries) == (2, 0)
            await client.aclose()

    run(main())


@pytest.mark.parametrize("late", [b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged"])
def test_bytes_nobody_asked_for_are_never_an_answer(run: Run, late: bytes) -> None:
    async def once(peer: Peer) -> None:
        await peer.answer()
        await peer.send(late)
        await peer.gone()

    async def main() -> None:
        async with serving(once, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            await until(lambda: client._pool().open_count == 0)
            assert await ask(client) == b"ok"
            assert client.counts.connections == 2
            await client.aclose()

    run(main())


@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_stale_connection_is_replaced_once(run: Run, method: str, is_reset: bool) -> None:
    async def stale(peer: Peer) -> None:
        await peer.answer()
        await peer.request()
        if is_reset:
            peer.reset()

    async def main() -> None:
        async with serving(stale, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            answer = await client.request(method, "/", body=b"")
            assert answer.is_retry
            assert await answer.read_all() == b"ok"
            assert (client.counts.connections, client.counts.retries) == (2, 1)
            await client.aclose()

    run(main())


def test_a_fresh_connection_that_dies_is_not_tried_again(run: Run) -> None:
    async def rude(peer: Peer) -> None:
        await peer.request()

    async def main() -> None:
        async with serving(rude) as server:
            client = HttpClient(server.url)
            with pytest.raises(ProviderUnreachable, match="ended before an answer"):
                await ask(client)
            assert len(server.peers) == 1
            await client.aclose()

    run(main())


def test_after_one_retry_there_is_no_second(run: Run) -> None:
    async def stale(peer: Peer) -> None:
        await peer.answer()
        await peer.request()

    async def rude(peer: Peer) -> None:
        await peer.request()

    async def main() -> None:
        async with serving(stale, rude) as server:
            client = HttpClient(server.url)
            await ask(client)
            with pytest.raises(Disconnected):
                await ask(client)
            assert len(server.peers) == 2
            await client.aclose()

    run(main())


def test_after_one_byte_there_is_no_retry(run: Run) -> None:
    async def stale(peer: Peer) -> None:
        await peer.answer()
        await peer.request()
        await peer.send(b"H")

    async def main() -> None:
        async with serving(stale, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            with pytest.raises(ProviderUnreachable, match="in the middle of the answer's headers"):
                await ask(client)
            assert len(server.peers) == 1
            await client.aclose()

    run(main())


def test_a_server_that_took_its_time_to_die_is_not_asked_again(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STALE_SECONDS", 0.02)

    async def slow(peer: Peer) -> None:
        await peer.answer()
        await peer.request()
        await asyncio.sleep(0.05)

    async def main() -> None:
        async with serving(slow, forever) as server:
            client = HttpClient(server.url)
            await ask(client)
            with pytest.raises(Disconnected):
                await ask(client)
            assert len(server.peers) == 1
            await client.aclose()

    run(main())


def test_a_closed_client_cuts_everything_and_refuses(run: Run) -> None:
    async def begin(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nbegun")
        await peer.gone()

    async def main() -> None:
        async with serving(begin) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert await answer.read() == b"begun"
            reader = asyncio.ensure_future(answer.read())
            await asyncio.sleep(0)
            await client.aclose()
            with pytest.raises(Exception, match="on this side"):
                await reader
            assert client._pool().open_count == 0
            with pytest.raises(ProviderUnreachable, match="has been closed"):
                await client.request("GET", "/")
            await client.aclose()

    run(main())


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_client_may_outlive_its_loop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as kept_open:
        listener.setblocking(False)
        client = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}")

        async def main(seen: int) -> None:
            asking = asyncio.ensure_future(ask(client))
            loop = asyncio.get_running_loop()
            server, _ = await loop.sock_accept(listener)
            kept_open.enter_context(server)
            assert await loop.sock_recv(server, 65536)
            await loop.sock_sendall(server, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            assert await asking == b"ok"
            assert client.counts.connections == seen

        # No aclose in between: the second loop must not touch what the first one left open.
        asyncio.run(main(1))
        asyncio.run(main(2))
        asyncio.run(client.aclose())
        gc.collect()


def test_cancelling_leaves_no_connection_behind(run: Run) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def silent(peer: Peer) -> None:
            await peer.request()
            await peer.gone()
            cut.set()

        async with serving(silent) as server:
            client = HttpClient(server.url)
            asking = asyncio.ensure_future(ask(client))
            while not server.requests:
                await asyncio.sleep(0.005)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.wait_for(cut.wait(), 10)
            assert client._pool().open_count == 0
            await client.aclose()

    run(main())


@pytest.mark.parametrize("steps", range(12))
def test_cancelling_after_any_step_leaves_nothing_behind(run: Run, steps: int) -> None:
    async def main() -> None:
        async with serving(forever) as server:
            client = HttpClient(server.url.replace("127.0.0.1", "localhost"))
            asking = asyncio.ensure_future(ask(client))
            for _ in range(steps):
                await asyncio.sleep(0)
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking
            await until(lambda: client._pool().open_count == client._pool().idle_count)
            assert await ask(client) == b"ok"
            await client.aclose()

    run(main())
