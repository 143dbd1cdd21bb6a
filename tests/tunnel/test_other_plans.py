"""A tunnel that is told to go another way while answers run through it; SSH servers are in this process."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import uvloop

from chatvault.daemon.http_server import HttpServer
from chatvault.tunnel import link
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.probe import Identity
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.status import Change, State
from chatvault.tunnel.supervisor import Tunnel
from chatvault.tunnel.tools import Tools
from tests.support.ports import free_port
from tests.support.ssh_server import SshHost, ssh_host
from tests.support.waiting import until

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    return asyncio.run if request.param == "asyncio" else uvloop.run


@dataclass
class App:
    """Says hello; `/slow` says "begun", and "ended" when it is let, or "cut" where it hears that it is."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    last: bytes = b"ended"
    is_deaf: bool = True

    def cut(self, doorway: object) -> None:
        if not self.is_deaf:
            self.last = b"cut"
            self.go.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/slow":
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await self.go.wait()
            # More than the windows on the way hold: it must not be cut off with the link.
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
            await send({"type": "http.response.body", "body": self.last})
        else:
            await send({"type": "http.response.body", "body": b"hello"})


@dataclass
class There:
    """A tunnel that is up, with a web server at its home end."""

    host: SshHost
    tunnel: Tunnel
    app: App
    changes: list[Change]

    def plan(self, relay: Relay, *, allow_plain_http: bool = True) -> Plan:
        return _plan(relay, allow_plain_http=allow_plain_http)

    def use(self, relay: Relay, *, drain_seconds: float = 30.0, allow_plain_http: bool = True) -> None:
        self.tunnel.use(_plan(relay, allow_plain_http=allow_plain_http), drain_seconds=drain_seconds)

    async def reach(self, state: State, *, reconnects: int = 0) -> None:
        await until(lambda: self._is(state, reconnects))

    def _is(self, state: State, reconnects: int) -> bool:
        found = self.tunnel.status()
        return (found.state, found.reconnects) == (state, reconnects)


def _plan(relay: Relay, *, allow_plain_http: bool = True) -> Plan:
    url = f"http://127.0.0.1:{relay.public_port}"
    return Plan(relay=relay, public_url=url, allow_plain_http=allow_plain_http)


@asynccontextmanager
async def _up(folder: Path) -> AsyncIterator[There]:
    app, changes = App(), list[Change]()
    server = HttpServer(app, [])
    make_protocol = server.protocol_factory(via="tunnel")

    def make_doorway(relay: Relay, traffic: Traffic) -> Doorway:
        local = ("127.0.0.1", relay.public_port)
        return Doorway(
            make_protocol,
            traffic,
            local=local,
            admit=lambda address: True,
            let_go=server.let_go,
            cut=app.cut,
        )

    tools = Tools(
        clock=time.monotonic,
        now_ms=lambda: time.time_ns() // 1_000_000,
        chance=random.random,
        nonce=lambda: "0" * 32,
    )
    async with ssh_host(folder) as host:
        tunnel = Tunnel(
            _plan(host.relay),
            make_doorway,
            PublicEnd(Identity(b"k" * 32), lambda: None, tools),
            tools=tools,
            on_change=changes.append,
            on_outside=lambda found: None,
        )
        running = asyncio.ensure_future(tunnel.run())
        try:
            tunnel.up()
            there = There(host, tunnel, app, changes)
            await there.reach("up")
            yield there
        finally:
            await server.stop(drain_seconds=0, hurry=asyncio.Event())
            await server.abandon(seconds=0)
            running.cancel()
            await asyncio.wait({running})
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error


def _with(run: Run, folder: Path, body: Callable[[There], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(100), _up(folder) as there:
            await body(there)

    run(main())


async def _hello(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def _begin(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Have an answer begin, on a connection that would stay."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n")
    await reader.readuntil(b"begun")
    return reader, writer


async def _is_refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return True
    writer.close()
    return False


def test_a_dead_session_on_the_new_port_is_ended_only_when_the_answers_in_the_old_link_have(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = socket.create_server(("127.0.0.1", 0))
    has_taken_over: list[bool] = []

    async def body(there: There) -> None:
        relay = there.host.relay
        reader, writer = await _begin(relay.public_port)

        async def take_over(connection: asyncssh.SSHClientConnection) -> int:
            has_taken_over.append(there.host.connections[0].is_closed())
            dead.close()
            return 1

        monkeypatch.setattr(link, "take_over", take_over)
        other = replace(relay, public_port=dead.getsockname()[1])
        there.use(other)
        await there.reach("backoff")
        assert "once the answers" in (there.tunnel.status().hint or "")
        there.app.go.set()
        assert (await reader.read()).endswith(b"ended\r\n0\r\n\r\n")
        writer.close()
        await there.reach("up", reconnects=1)
        assert has_taken_over == [True]
        assert b"hello" in await _hello(other.public_port)

    with dead:
        _with(run, tmp_path, body)


@pytest.mark.parametrize("is_same_port", [True, False])
def test_a_running_answer_ends_in_the_old_link_while_the_new_one_serves(
    run: Run, tmp_path: Path, is_same_port: bool
) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        other = replace(relay, user="other")
        if not is_same_port:
            other = replace(relay, public_port=free_port())
        reader, writer = await _begin(relay.public_port)

        there.use(other)
        await there.reach("up", reconnects=1)

        assert b"hello" in await _hello(other.public_port)
        assert is_same_port or await _is_refused(relay.public_port)
        assert not there.host.connections[0].is_closed()
        assert there.tunnel.status().connections == 1
        there.app.go.set()
        # To the end, and then the connection's own: nobody may ask on through the old link.
        assert (await reader.read()).endswith(b"ended\r\n0\r\n\r\n")
        writer.close()
        await until(there.host.connections[0].is_closed)
        assert b"hello" in await _hello(other.public_port)
        assert [change.state for change in there.changes] == ["connecting", "up", "connecting", "up"]
        assert there.changes[2].reason == "the settings have changed"
        assert there.changes[3].outage_seconds is not None

    _with(run, tmp_path, body)


def test_another_relay_takes_over(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        async with ssh_host(tmp_path) as other:
            reader, writer = await _begin(there.host.relay.public_port)
            there.use(other.relay)
            await there.reach("up", reconnects=1)
            assert b"hello" in await _hello(other.relay.public_port)
            assert await _is_refused(there.host.relay.public_port)
            assert there.tunnel.status().relay == f"relay@[127.0.0.1]:{other.port}"
            there.app.go.set()
            assert (await reader.read()).endswith(b"ended\r\n0\r\n\r\n")
            writer.close()
            await until(there.host.connections[0].is_closed)

    _with(run, tmp_path, body)


def test_an_answer_that_does_not_end_is_cut_when_its_time_is_over(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        reader, writer = await _begin(relay.public_port)
        there.use(replace(relay, user="other"), drain_seconds=0.2)
        assert b"ended" not in await reader.read()
        writer.close()
        await until(there.host.connections[0].is_closed)
        await there.reach("up", reconnects=1)

    _with(run, tmp_path, body)


@pytest.mark.parametrize("is_by_settings", [True, False])
def test_who_is_cut_is_told_before_the_link_ends(run: Run, tmp_path: Path, is_by_settings: bool) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        there.app.is_deaf = False
        reader, writer = await _begin(relay.public_port)
        if is_by_settings:
            there.use(replace(relay, user="other"), drain_seconds=0.2)
        else:
            there.tunnel.down()
            assert (await there.tunnel.off(seconds=20)).reason is None
            await until(there.host.connections[0].is_closed)
        assert (await reader.read()).endswith(b"cut\r\n0\r\n\r\n")
        writer.close()
        await until(there.host.connections[0].is_closed)

    _with(run, tmp_path, body)


def test_a_connection_that_rests_ends_at_once_and_a_fresh_one_is_answered(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        resting, first = await asyncio.open_connection("127.0.0.1", relay.public_port)
        first.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        await resting.readuntil(b"hello\r\n0\r\n\r\n")
        fresh, second = await asyncio.open_connection("127.0.0.1", relay.public_port)
        await until(lambda: there.tunnel.status().connections == 2)

        there.use(replace(relay, user="other"))
        # Sent before anybody can know: on its way when the port was moved.
        second.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")

        assert await resting.read() == b""
        assert b"hello" in await fresh.read()
        first.close()
        second.close()
        await until(there.host.connections[0].is_closed)

    _with(run, tmp_path, body)


def test_a_plan_with_the_same_relay_leaves_the_link_alone(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        _, writer = await _begin(relay.public_port)
        there.use(replace(relay))
        there.tunnel.use(replace(there.plan(relay), public_url="http://relay.example.org"), drain_seconds=0.0)
        await asyncio.sleep(0.2)
        found = there.tunnel.status()
        assert (found.state, found.reconnects, found.connections) == ("up", 0, 1)
        assert found.public_url == "http://relay.example.org"
        assert len(there.host.connections) == 1
        writer.close()

    _with(run, tmp_path, body)


def test_a_word_that_is_taken_back_ends_it_and_given_again_brings_it_back(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        there.use(relay, allow_plain_http=False)
        await there.reach("failed")
        assert "without TLS" in (there.tunnel.status().reason or "")
        assert await _is_refused(relay.public_port)
        await until(there.host.connections[0].is_closed)
        there.use(relay)
        await there.reach("up", reconnects=1)
        assert b"hello" in await _hello(relay.public_port)

    _with(run, tmp_path, body)


def test_a_tunnel_that_is_down_stays_down_and_goes_the_new_way_when_it_is_wanted(
    run: Run, tmp_path: Path
) -> None:
    async def body(there: There) -> None:
        there.tunnel.down()
        assert (await there.tunnel.off(seconds=20)).state == "off"
        other = replace(there.host.relay, public_port=free_port())
        there.use(other)
        await asyncio.sleep(0.1)
        assert there.tunnel.status().state == "off"
        there.tunnel.up()
        assert (await there.tunnel.outcome(seconds=20)).state == "up"
        assert b"hello" in await _hello(other.public_port)

    _with(run, tmp_path, body)


def test_settings_may_put_it_down_without_cutting_answers_and_people_cut_them(
    run: Run, tmp_path: Path
) -> None:
    async def body(there: There) -> None:
        reader, writer = await _begin(there.host.relay.public_port)
        there.tunnel.down(drain_seconds=30)
        await there.reach("off")
        assert await _is_refused(there.host.relay.public_port)
        assert not there.host.connections[0].is_closed()
        assert there.tunnel.status().reason == "the settings have changed"
        there.tunnel.down()
        await until(there.host.connections[0].is_closed)
        assert b"ended" not in await reader.read()
        writer.close()

    _with(run, tmp_path, body)


def test_of_plans_that_come_all_at_once_the_last_counts(run: Run, tmp_path: Path) -> None:
    async def body(there: There) -> None:
        relay = there.host.relay
        ports = [free_port() for _ in range(4)]
        for port in ports:
            there.use(replace(relay, public_port=port))
        await there.reach("up", reconnects=1)
        assert b"hello" in await _hello(ports[-1])
        for port in (relay.public_port, *ports[:-1]):
            assert await _is_refused(port)
        await until(lambda: [each.is_closed() for each in there.host.connections] == [True, False])

    _with(run, tmp_path, body)


def test_an_old_relay_that_has_gone_silent_holds_nothing_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_LEAVE_SECONDS", 0.2)
    # The request to let go of the port is never answered.
    monkeypatch.setattr(
        asyncssh.SSHServerConnection,
        "_process_cancel_tcpip_forward_global_request",
        lambda self, packet: None,
    )

    async def body(there: There) -> None:
        relay = there.host.relay
        reader, writer = await _begin(relay.public_port)
        there.use(replace(relay, user="other"))
        await there.reach("up", reconnects=1)
        assert b"hello" in await _hello(relay.public_port)
        assert b"ended" not in await reader.read()
        writer.close()

    _with(run, tmp_path, body)
