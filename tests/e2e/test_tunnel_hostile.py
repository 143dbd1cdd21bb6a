"""A device that means harm: the link lives, honest requests are answered, and memory stays where it was."""

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.home import PUBLIC_HOST, HomeDaemon, tunnel_config
from tests.support.namespaces import needs_root
from tests.support.tunnel_world import World, until, world

pytestmark = [needs_root, pytest.mark.full, pytest.mark.seconds(400)]
_SSHD_BYTES = 80_000_000
_SSHD_CHANNEL_BYTES = 20_000
_GROWTH = 1.5
_PORT = 4000
Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    with world(tmp_path_factory.mktemp("tunnel")) as made:
        flood = [sys.executable, "-m", "tests.support.flood", "7100"]
        made.net.home.popen(*flood, cwd=Path(__file__).parents[2])
        yield made
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def daemon(there: World) -> Iterator[HomeDaemon]:
    """A daemon whose caps are out of the way: what is tried here is what stands behind them."""
    config = tunnel_config(
        server={
            "public_url": f"http://{PUBLIC_HOST}:{_PORT}",
            "max_connections": 10_000,
            "max_connections_per_address": 10_000,
        },
        limits={"concurrency": 1000},
        providers={
            "echo": {"kind": "echo"},
            "flood": {"kind": "openai_compatible", "base_url": "http://127.0.0.1:7100/v1"},
        },
        prices={"unknown_model": "allow_unpriced"},
    )
    with there.daemon(config) as made:
        for _ in range(20):
            assert there.is_served()
        yield made


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Tell:
    def say(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {request.node.name}: {text}", end="", flush=True)

    return say


class _Watch:
    """Memory at rest, and the most there was since; the link must be the same all the while."""

    def __init__(self, there: World, daemon: HomeDaemon) -> None:
        self._there, self._daemon = there, daemon
        self._idle = self._memory()
        self._links = daemon.tunnel()["reconnects"]
        self._most, self._most_sshd = self._idle, 0
        self.look()

    def _memory(self) -> int:
        return int(self._daemon.ask("/v1/status")["memory_bytes"])

    def look(self) -> None:
        self._most = max(self._most, self._memory())
        self._most_sshd = max(self._most_sshd, self._there.relay.memory_bytes())

    def judge(self, tell: Tell, what: str, *, channels: int = 0) -> None:
        """Fail unless all is as it should be; sshd may have its own buffers for `channels` that stay open."""
        self.look()
        began = time.monotonic()
        assert self._there.get("/health", timeout=10).status_code == 200
        answered = time.monotonic() - began
        tell(
            f"{what}: our memory {self._idle / 1e6:.0f} MB at rest, {self._most / 1e6:.0f} MB at most; "
            f"sshd {self._most_sshd / 1e6:.0f} MB; an honest request takes {answered * 1000:.0f} ms"
        )
        found = self._daemon.tunnel()
        assert (found["state"], found["reconnects"]) == ("up", self._links)
        assert self._most < _GROWTH * self._idle
        assert self._most_sshd < _SSHD_BYTES + channels * _SSHD_CHANNEL_BYTES


_NOISE: tuple[bytes, ...] = (
    b"",
    b"\x00" * 1000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"A" * 70_000,
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 10.78.0.1\r\ncontent-length: 99999\r\n\r\nabc",
    b"GET /health HTTP/1.1\r\nhost: 10.78.0.1\r\nx: ",
    b"POST / HTTP/1.1\r\nhost: 10.78.0.1\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    os.urandom(5000),
)


def test_broken_connections(there: World, daemon: HomeDaemon, tell: Tell, is_full: bool) -> None:
    watch = _Watch(there, daemon)
    rounds = 18 if is_full else 5

    def harm() -> None:
        for _ in range(rounds):
            for noise in _NOISE:
                for is_abrupt in (False, True):
                    with (
                        contextlib.suppress(OSError),
                        socket.create_connection((PUBLIC_HOST, _PORT), 5) as made,
                    ):
                        if is_abrupt:
                            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                        made.sendall(noise)
                        time.sleep(0.002)

    there.net.device.call(harm)
    watch.judge(tell, f"{rounds * len(_NOISE) * 2} broken connections")


@pytest.mark.parametrize("is_served", [False, True], ids=["silent", "served once"])
def test_idle_connections(
    there: World, daemon: HomeDaemon, tell: Tell, is_full: bool, is_served: bool
) -> None:
    """Who never says a word is cut after 10 s: they must all come before that."""
    watch = _Watch(there, daemon)
    count = 3000 if is_full else 400
    question = f"GET /health HTTP/1.1\r\nhost: {PUBLIC_HOST}\r\n\r\n".encode()
    made: list[socket.socket] = []

    def start(number: int) -> None:
        for _ in range(number):
            each = _open()
            made.append(each)
            if is_served:
                each.sendall(question)
                assert each.recv(4096).startswith(b"HTTP/1.1 200 ")

    def catch_up() -> int:
        # sshd takes them from a queue one by one; a full one would have them try again in a second.
        deadline = time.monotonic() + 5
        while (now := daemon.tunnel()["connections"]) < len(made) and time.monotonic() < deadline:
            watch.look()
        return int(now)

    try:
        open_at_once = 0
        while len(made) < count:
            there.net.device.call(lambda: start(100))
            open_at_once = catch_up()
        assert open_at_once >= count
        # sshd keeps some 30 kB of buffers for each channel that was ever used, whatever its client does.
        watch.judge(tell, f"{open_at_once} idle connections at once", channels=count if is_served else 0)
    finally:
        for each in made:
            each.close()
    until(lambda: daemon.tunnel()["connections"] < 5, seconds=40, what="all of them forgotten")


def _open(receive_bytes: int | None = None) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_bytes is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(20)
    made.connect((PUBLIC_HOST, _PORT))
    return made


def test_short_connections(there: World, daemon: HomeDaemon, tell: Tell, is_full: bool) -> None:
    watch = _Watch(there, daemon)
    threads, each = 8, 10_000 if is_full else 250
    question = f"GET /health HTTP/1.1\r\nhost: {PUBLIC_HOST}\r\nconnection: close\r\n\r\n".encode()

    def ask_often() -> int:
        answered = 0
        for _ in range(each):
            with _open() as made:
                # The port's number is soon free again: closing by reset leaves nothing waiting.
                made.sendall(question)
                got = b""
                while piece := made.recv(4096):
                    got += piece
                answered += got.startswith(b"HTTP/1.1 200")
        return answered

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        runs = [pool.submit(there.net.device.call, ask_often) for _ in range(threads)]
        while not all(run.done() for run in runs):
            watch.look()
            time.sleep(0.5)
        answered = sum(run.result() for run in runs)
    seconds = time.monotonic() - began
    assert answered == threads * each
    watch.judge(tell, f"{answered} short connections, {answered / seconds:.0f}/s")


def test_devices_that_stop_reading(there: World, daemon: HomeDaemon, tell: Tell, is_full: bool) -> None:
    secret = daemon.add_token()
    watch = _Watch(there, daemon)
    count = 200 if is_full else 40
    body = json.dumps(
        {"model": "flood/endless", "stream": True, "messages": [{"role": "user", "content": "Go on."}]}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {PUBLIC_HOST}\r\nauthorization: Bearer {secret}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode()

    def start() -> list[socket.socket]:
        made = []
        for _ in range(count):
            each = _open(4096)
            each.sendall(head + body)
            made.append(each)
        return made

    made = there.net.device.call(start)
    try:
        still, since = -1, time.monotonic()
        while time.monotonic() - since < 3 or still < count * 100_000:
            now = daemon.tunnel()["bytes_out"]
            if now != still:
                still, since = now, time.monotonic()
            watch.look()
            time.sleep(0.2)
        watch.judge(tell, f"{count} that stop reading")
    finally:
        for each in made:
            each.close()
    daemon.wait_for_rows(count, seconds=60)


def test_a_flood_beside_an_honest_stream(there: World, daemon: HomeDaemon, tell: Tell) -> None:
    """Half of what comes is noise; every honest request is answered all the same."""
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError), socket.create_connection((PUBLIC_HOST, _PORT), 5) as made:
                made.sendall(b"\x00" * 2000)

    thread = threading.Thread(target=lambda: there.net.device.call(flood))
    thread.start()
    try:
        taken = []
        for _ in range(50):
            began = time.monotonic()
            assert there.get("/health", timeout=10).status_code == 200
            taken.append(time.monotonic() - began)
    finally:
        is_over.set()
        thread.join()
    tell(f"50 honest requests in a flood: median {sorted(taken)[25] * 1000:.0f} ms")
