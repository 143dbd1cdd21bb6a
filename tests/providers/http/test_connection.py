import asyncio
import socket
import time

import pytest

from chatvault.errors import ProviderBroke, ProviderError, ProviderTimeout
from chatvault.providers.http import HttpClient
from chatvault.providers.http.connection import READ_BYTES, UNREAD_LIMIT
from chatvault.providers.http.faults import WriteTimedOut
from chatvault.providers.http.outgoing import SLICE
from tests.providers.http.conftest import Run
from tests.support.scripted_server import Peer, serving, silence
from tests.support.waiting import until

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
BIG = 8 << 20


def test_nobody_reading_stops_the_server(run: Run) -> None:
    async def main() -> None:
        sent = 0

        async def flood(peer: Peer) -> None:
            nonlocal sent
            await peer.request()
            peer.writer.transport.set_write_buffer_limits(high=0)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (4 * BIG))
            while sent < 4 * BIG:
                peer.writer.write(bytes(65536))
                await peer.writer.drain()
                sent += 65536
            await peer.gone()

        async with serving(flood) as server:
            # Longer silences than the timeout follow: it is the reader who is silent.
            client = HttpClient(server.url, read_timeout=0.2)
            answer = await client.request("GET", "/")
            before = -1
            while sent != before or not sent:
                before = sent
                await asyncio.sleep(0.2)
            assert answer.unread <= UNREAD_LIMIT + READ_BYTES
            assert sent < 4 * BIG
            first = await answer.read()
            await asyncio.sleep(0.3)
            assert answer.unread == 0, "what was not asked for stays outside"
            assert len(first) + len(await answer.read_all()) == 4 * BIG
            assert client._pool().idle_count == 1
            await client.aclose()

    run(main())


def test_a_large_request_arrives_whole(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer()
            await peer.answer()
            await peer.gone()

        async with serving(script) as server:
            client = HttpClient(server.url)
            body = bytes(range(256)) * (BIG // 256)
            for _ in range(2):
                answer = await client.request("POST", "/", body=body)
                assert await answer.read_all() == b"ok"
            assert server.requests[0].body == server.requests[1].body == body
            assert client.counts.connections == 1
            await client.aclose()

    run(main())


def test_a_server_that_takes_nothing_is_a_write_timeout(run: Run) -> None:
    async def main() -> None:
        async def deaf(peer: Peer) -> None:
            peer.writer.transport.pause_reading()
            await asyncio.sleep(5)

        async with serving(deaf) as server:
            client = HttpClient(server.url, write_timeout=0.8, read_timeout=60)
            asking = asyncio.ensure_future(client.request("POST", "/", body=bytes(4 * BIG)))
            await until(lambda: client._pool()._open)
            await asyncio.sleep(0.05)
            (connection,) = client._pool()._open
            # The body waits here, not in the transport.
            assert connection.transport is not None
            assert connection.transport.get_write_buffer_size() <= 2 * SLICE
            with pytest.raises(WriteTimedOut, match=r"took no more of the request for 0\.8 s"):
                await asking
            await client.aclose()

    run(main())


def test_a_slow_taker_is_no_write_timeout(run: Run) -> None:
    async def main() -> None:
        async def slow(peer: Peer) -> None:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            left = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            while left:
                left -= len(await peer.reader.read(1 << 20))
                await asyncio.sleep(0.002)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        async with serving(slow) as server:
            client = HttpClient(server.url, write_timeout=0.5)
            answer = await client.request("POST", "/", body=bytes(4 * BIG))
            assert await answer.read_all() == b"ok"
            await client.aclose()

    run(main())


def test_an_early_error_is_read_while_the_request_is_still_being_sent(run: Run) -> None:
    async def main() -> None:
        async def early(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
            await peer.gone()

        async with serving(early) as server:
            client = HttpClient(server.url)
            answer = await client.request("POST", "/", body=bytes(4 * BIG))
            assert (answer.status, await answer.read_all()) == (413, b"big")
            # The rest of the request was still to come: the connection can't serve another one.
            assert client._pool().idle_count == 0
            await client.aclose()

    run(main())


def test_an_answer_may_begin_and_flow_while_the_request_goes_on(run: Run) -> None:
    async def main() -> None:
        async def echo(peer: Peer) -> None:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % BIG)
            left = BIG
            while left:
                data = await peer.reader.read(65536)
                left -= len(data)
                peer.writer.write(data)
                await peer.writer.drain()
            await peer.gone()

        async with serving(echo) as server:
            client = HttpClient(server.url)
            body = bytes(range(256)) * (BIG // 256)
            answer = await client.request("POST", "/", body=body)
            assert await answer.read_all() == body
            assert client._pool().idle_count == 1
            await client.aclose()

    run(main())


def test_silence_before_the_answer_times_out(run: Run) -> None:
    async def main() -> None:
        async with serving(silence) as server:
            client = HttpClient(server.url, read_timeout=0.05)
            with pytest.raises(ProviderTimeout, match=rf"127.0.0.1:{server.port}: no answer for 0.05 s"):
                await client.request("GET", "/")
            await asyncio.sleep(0)
            assert client._pool().open_count == 0
            await client.aclose()

    run(main())


def test_silence_between_pieces_times_out(run: Run) -> None:
    async def main() -> None:
        async def stall(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD, b"first")
            await peer.gone()

        async with serving(stall) as server:
            client = HttpClient(server.url, read_timeout=0.4)
            answer = await client.request("GET", "/")
            assert await answer.read() == b"first"
            with pytest.raises(ProviderTimeout, match="fell silent"):
                await answer.read()
            await client.aclose()

    run(main())


def test_each_piece_starts_the_clock_anew(run: Run) -> None:
    async def main() -> None:
        async def drip(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD)
            for _ in range(7):
                await asyncio.sleep(0.15)
                await peer.send(b"x")

        async with serving(drip) as server:
            client = HttpClient(server.url, read_timeout=0.8)
            answer = await client.request("GET", "/")
            assert await answer.read_all() == b"xxxxxxx"
            await client.aclose()

    run(main())


@pytest.mark.parametrize("is_payload", [False, True])
def test_with_a_manual_clock_only_payload_counts(run: Run, is_payload: bool) -> None:
    async def main() -> None:
        async def comments(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD)
            for _ in range(10):
                await asyncio.sleep(0.2)
                await peer.send(b": ping\n\n")

        async with serving(comments) as server:
            client = HttpClient(server.url, read_timeout=1.0)
            answer = await client.request("GET", "/", manual_clock=True)
            read = b""
            try:
                while data := await answer.read():
                    read += data
                    if is_payload:
                        answer.payload_seen()
            except ProviderTimeout:
                assert not is_payload
            else:
                assert is_payload
            assert (len(read) == 10 * 8) is is_payload
            await client.aclose()

    run(main())


class Jumping(asyncio.SelectorEventLoop):
    """A loop whose clock a test may put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


def test_with_a_manual_clock_a_pause_of_the_reader_does_not_count() -> None:
    size = 4 * UNREAD_LIMIT

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Jumping)
        is_late = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD, bytes(size))
            await is_late.wait()
            await peer.send(b"more")
            await peer.gone()

        async with serving(script) as server:
            client = HttpClient(server.url, read_timeout=100)
            answer = await client.request("GET", "/", manual_clock=True)
            await until(lambda: answer.unread > UNREAD_LIMIT)
            (connection,) = client._pool()._open
            assert connection._is_paused
            # Nobody reads for most of the deadline, and then the provider takes its time.
            loop.ahead += 80
            got = 0
            while got < size:
                got += len(await answer.read())
            reading = asyncio.ensure_future(answer.read())
            await until(lambda: answer.is_wanted)
            loop.ahead += 80
            await asyncio.sleep(0.01)
            assert not reading.done()
            is_late.set()
            assert await reading == b"more"
            silent = asyncio.ensure_future(answer.read())
            await until(lambda: answer.is_wanted)
            loop.ahead += 25
            with pytest.raises(ProviderTimeout):
                await silent
            await client.aclose()

    with asyncio.Runner(loop_factory=Jumping) as runner:
        runner.run(main())


def test_the_clock_of_one_request_does_not_touch_the_next(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.answer()
            for _ in range(2):
                await peer.request()
                await asyncio.sleep(0.45)
                await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await peer.gone()

        async with serving(script) as server:
            client = HttpClient(server.url, read_timeout=0.8)
            await (await client.request("GET", "/")).read_all()
            await asyncio.sleep(0.6)
            for _ in range(2):
                assert await (await client.request("GET", "/")).read_all() == b"ok"
            assert client.counts.connections == 1
            await client.aclose()

    run(main())


def test_a_reader_that_takes_its_time_is_not_the_servers_silence(run: Run) -> None:
    async def main() -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD, b"first")
            await asyncio.sleep(0.9)
            await peer.send(b"second")

        async with serving(script) as server:
            client = HttpClient(server.url, read_timeout=0.7)
            answer = await client.request("GET", "/")
            await asyncio.sleep(0.8)
            assert await answer.read() == b"first"
            assert await answer.read() == b"second"
            await client.aclose()

    run(main())


def test_a_loop_held_up_longer_than_the_timeout_still_reads_what_came(run: Run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            port = listener.getsockname()[1]
            client = HttpClient(f"http://127.0.0.1:{port}", read_timeout=0.6)
            asking = asyncio.ensure_future(client.request("GET", "/"))
            server, _ = await loop.sock_accept(listener)
            with server:
                assert await loop.sock_recv(server, 65536)
                await loop.sock_sendall(server, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                time.sleep(0.7)
                assert (await asking).status == 200
            await client.aclose()

    run(main())


def test_a_reset_in_the_middle_is_a_break(run: Run) -> None:
    async def main() -> None:
        is_read = asyncio.Event()

        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(HEAD, b"begun")
            # A reset takes along what was not read yet.
            await is_read.wait()
            peer.reset()

        async with serving(script) as server:
            client = HttpClient(server.url)
            answer = await client.request("GET", "/")
            assert await answer.read() == b"begun"
            is_read.set()
            with pytest.raises(ProviderBroke) as caught:
                await answer.read()
            assert isinstance(caught.value.__cause__, ConnectionError)
            await client.aclose()

    run(main())


@pytest.mark.parametrize("size", [10, 4 * BIG])
def test_cancelling_a_write_or_a_wait_cuts_the_connection_at_once(run: Run, size: int) -> None:
    async def main() -> None:
        cut = asyncio.Event()

        async def script(peer: Peer) -> None:
            if size > 10:
                peer.writer.transport.pause_reading()
                await asyncio.sleep(0.1)
                peer.writer.transport.resume_reading()
            await peer.gone()
            cut.set()

        async with serving(script) as server:
            client = HttpClient(server.url)
            asking = asyncio.ensure_future(client.request("POST", "/", body=bytes(size)))
            while not server.peers:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.03)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: client._pool().open_count == 0)
            await asyncio.wait_for(cut.wait(), 10)
            await client.aclose()

    run(main())


def test_errors_name_the_server_and_nothing_secret(run: Run) -> None:
    async def main() -> None:
        async with serving(silence) as server:
            client = HttpClient(server.url.replace("//", "//me:geheim@"), read_timeout=0.02)
            with pytest.raises(ProviderError) as caught:
                await client.request(
                    "POST", "/?k=geheim", headers=[(b"x-api-key", b"geheim")], body=b"geheim"
                )
            assert f"127.0.0.1:{server.port}" in str(caught.value)
            assert "geheim" not in f"{caught.value}{caught.value.hint}"
            await client.aclose()

    run(main())
