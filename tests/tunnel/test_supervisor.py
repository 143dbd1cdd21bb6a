"""The tunnel's states, against an SSH server in this process."""

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

from chatvault.tunnel import keeper, keys, known_hosts, link, public_end
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.probe import Identity, Outside
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay, parse_jump
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
class Running:
    """A tunnel that runs, and all that it has told."""

    tunnel: Tunnel
    changes: list[Change] = field(default_factory=list)
    looks: list[Outside] = field(default_factory=list)

    async def reach(self, state: State, *, seconds: float = 20.0) -> None:
        async with asyncio.timeout(seconds):
            while self.tunnel.status().state != state:
                await asyncio.sleep(0.005)

    @property
    def states(self) -> list[str]:
        return [change.state for change in self.changes]


class _Curt(asyncio.Protocol):
    """Ends a connection at its first byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.close()


def _plan(relay: Relay, *, allow_plain_http: bool = True) -> Plan:
    return Plan(
        relay=relay,
        public_url=f"http://127.0.0.1:{relay.public_port}",
        allow_plain_http=allow_plain_http,
    )


@asynccontextmanager
async def _running(
    relay: Relay, *, allow_plain_http: bool = True, serve: type[asyncio.Protocol] = asyncio.Protocol
) -> AsyncIterator[Running]:
    changes: list[Change] = []
    looks: list[Outside] = []

    def make_doorway(relay: Relay, traffic: Traffic) -> Doorway:
        local = ("127.0.0.1", relay.public_port)
        return Doorway(serve, traffic, local=local, admit=lambda address: True)

    tools = Tools(
        clock=time.monotonic,
        now_ms=lambda: time.time_ns() // 1_000_000,
        chance=random.random,
        nonce=lambda: "0" * 32,
    )
    tunnel = Tunnel(
        _plan(relay, allow_plain_http=allow_plain_http),
        make_doorway,
        PublicEnd(Identity(b"k" * 32), lambda: None, tools),
        tools=tools,
        on_change=changes.append,
        on_outside=looks.append,
    )
    running = asyncio.ensure_future(tunnel.run())
    try:
        yield Running(tunnel, changes, looks)
    finally:
        running.cancel()
        await asyncio.wait({running})
        if not running.cancelled() and (error := running.exception()) is not None:
            raise error


def _with(run: Run, folder: Path, body: Callable[[SshHost], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), ssh_host(folder) as host:
            await body(host)

    run(main())


def test_it_is_off_until_it_is_wanted(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async with _running(host.relay) as there:
            await asyncio.sleep(0.05)
            assert there.tunnel.status().state == "off"
            there.tunnel.up()
            assert (await there.tunnel.outcome(seconds=20)).state == "up"
            there.tunnel.down()
            assert (await there.tunnel.off(seconds=20)).state == "off"
            assert there.states == ["connecting", "up", "off"]
            assert host.connections == [] or all(each.is_closed() for each in host.connections)

    _with(run, tmp_path, body)


def test_who_waits_for_it_is_told_when_it_is_wanted_no_more(tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        silent = socket.create_server(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        known_hosts.pin(tmp_path / "ssh", "127.0.0.1", port, [keys.ensure_key(tmp_path / "ssh")])
        with silent:
            async with _running(replace(host.relay, port=port)) as there:
                there.tunnel.up()
                waiting = asyncio.ensure_future(there.tunnel.outcome(seconds=3600))
                await there.reach("connecting")
                there.tunnel.down()
                assert (await waiting).state == "off"
                there.tunnel.up()
                there.tunnel.down()
                there.tunnel.up()
                again = asyncio.ensure_future(there.tunnel.outcome(seconds=3600))
                await there.reach("connecting")
                await asyncio.sleep(0.05)
                assert not again.done(), "it is wanted by now"
                again.cancel()

    _with(asyncio.run, tmp_path, body)


def test_a_lost_link_is_replaced_and_counted(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async with _running(host.relay) as there:
            there.tunnel.up()
            await there.reach("up")
            host.drop_all()
            async with asyncio.timeout(20):
                while there.tunnel.status().reconnects < 1 or there.tunnel.status().state != "up":
                    await asyncio.sleep(0.005)
            found = there.tunnel.status()
            assert found.last_error is not None
            assert "the connection to" in found.last_error
            assert found.last_recovery_seconds is not None
            assert [change for change in there.changes if change.outage_seconds is not None]

    _with(run, tmp_path, body)


def test_a_link_that_is_lost_while_it_asks_for_the_port_is_not_said_to_have_found_it_taken(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(host: SshHost) -> None:
        monkeypatch.setattr(
            asyncssh.SSHServerConnection,
            "_process_tcpip_forward_global_request",
            lambda self, packet: host.drop_all(),
        )
        async with _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "backoff"
            assert "was lost" in (found.reason or "")
            assert there.looks == []

    _with(run, tmp_path, body)


def test_an_error_of_asyncssh_that_nobody_foresaw_is_one_more_lost_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Exception):
        pass

    async def fail(relay: Relay) -> Link:
        raise Odd("what a relay may send")

    async def body(host: SshHost) -> None:
        async with _running(host.relay) as there:
            with monkeypatch.context() as patched:
                patched.setattr(keeper, "connect", fail)
                there.tunnel.up()
                found = await there.tunnel.outcome(seconds=20)
                assert found.state == "backoff"
                assert "Odd: what a relay may send" in (found.reason or "")
            await there.reach("up")

    _with(asyncio.run, tmp_path, body)


def test_a_link_that_is_being_made_when_the_daemon_stops_is_given_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(host: SshHost) -> None:
        may_go_on = asyncio.Event()

        async def connect_later(relay: Relay) -> Link:
            await may_go_on.wait()
            return await connect(relay)

        async with _running(host.relay) as there:
            there.tunnel.up()
            await there.reach("up")
            monkeypatch.setattr(keeper, "connect", connect_later)
            host.drop_all()
            await there.reach("connecting")
            there.tunnel.stop_accepting()
            there.tunnel.up()
            await there.reach("off")
            may_go_on.set()
            assert there.tunnel.status().reason == "the daemon stops"
            await asyncio.sleep(0.1)
            assert (host.connections, there.states.count("up")) == ([], 1)

    _with(run, tmp_path, body)


def test_a_link_that_is_lost_while_the_daemon_stops_is_not_made_again(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async with _running(host.relay) as there:
            there.tunnel.up()
            await there.reach("up")
            there.tunnel.stop_accepting()
            await asyncio.sleep(0.1)
            assert there.tunnel.status().state == "up", "answers that run are in it"
            host.drop_all()
            await there.reach("off")
            assert there.states == ["connecting", "up", "backoff", "off"]
            assert host.connections == []

    _with(run, tmp_path, body)


def test_what_was_met_outside_is_said_of_the_link_it_was_met_over(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async with _running(host.relay, serve=_Curt) as there:
            there.tunnel.up()
            await until(lambda: there.tunnel.status().outside)
            host.drop_all()
            await until(lambda: there.tunnel.status().reconnects == 1)
            assert there.tunnel.status().outside is None
            await until(lambda: there.tunnel.status().outside)
            assert len(there.looks) == 1, "it is no news"
            there.tunnel.down()
            assert (await there.tunnel.off(seconds=20)).outside is None

    _with(run, tmp_path, body)


def test_without_tls_nothing_is_dialled(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async with _running(host.relay, allow_plain_http=False) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "failed"
            assert found.reason is not None
            assert "without TLS" in found.reason
            assert host.connections == []

    _with(run, tmp_path, body)


def test_a_relay_that_is_not_there_is_tried_again(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        closed = free_port()
        text = (tmp_path / "ssh" / "known_hosts").read_text()
        (tmp_path / "ssh" / "known_hosts").write_text(text.replace(f":{host.port} ", f":{closed} "))
        async with _running(replace(host.relay, port=closed)) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "backoff"
            assert found.retry_in_seconds is not None
            assert found.hint
            await until(lambda: there.states.count("connecting") >= 2)

    _with(run, tmp_path, body)


def test_an_unpinned_relay_is_not_trusted(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        (tmp_path / "ssh" / "known_hosts").unlink()
        async with _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "failed"
            assert "pinned" in (found.reason or "")
            assert host.connections == []

    _with(run, tmp_path, body)


@pytest.mark.parametrize("damage", ["no text", "a folder"])
def test_pinned_keys_that_can_not_be_read_stop_it(tmp_path: Path, damage: str) -> None:
    async def body(host: SshHost) -> None:
        path = tmp_path / "ssh" / "known_hosts"
        path.unlink()
        path.write_bytes(b"\xff\n") if damage == "no text" else path.mkdir()
        async with _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "failed"
            assert str(path) in (found.reason or "")
            assert found.hint

    _with(asyncio.run, tmp_path, body)


def test_another_host_key_fails_before_a_login(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        path = tmp_path / "ssh" / "known_hosts"
        other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().split()[1]
        words = path.read_text().split()
        path.write_text(f"{words[0]} {words[1]} {other}\n")
        async with _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert (found.state, found.retry_in_seconds) == ("failed", None)
            assert "host key" in (found.reason or "")
            await asyncio.sleep(0.3)
            assert there.states == ["connecting", "failed"]

    _with(run, tmp_path, body)


def test_what_failed_is_tried_again_when_told_to(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        path = tmp_path / "ssh" / "known_hosts"
        pinned = path.read_text()
        path.unlink()
        async with _running(host.relay) as there:
            there.tunnel.up()
            assert (await there.tunnel.outcome(seconds=20)).state == "failed"
            path.write_text(pinned)
            there.tunnel.up()
            assert (await there.tunnel.outcome(seconds=20)).state == "up"

    _with(run, tmp_path, body)


def test_a_stranger_on_the_port_is_named(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\nwelcome")
            writer.close()

        stranger = await asyncio.start_server(answer, "127.0.0.1", host.relay.public_port)
        async with stranger, _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "backoff"
            assert "something else answers" in (found.reason or "")
        await asyncio.sleep(0.05)

    _with(run, tmp_path, body)


def test_another_daemon_on_the_port_is_not_fought(run: Run, tmp_path: Path) -> None:
    async def body(host: SshHost) -> None:
        other = Identity(b"other" * 7)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked = await reader.readuntil(b"\r\n\r\n")
            mark = other.mark(asked.split(b" ")[1].rpartition(b"/")[2].decode())
            writer.write(f"HTTP/1.1 200 OK\r\n\r\n{mark}".encode())
            writer.close()

        owner = await asyncio.start_server(answer, "127.0.0.1", host.relay.public_port)
        async with owner, _running(host.relay) as there:
            there.tunnel.up()
            found = await there.tunnel.outcome(seconds=20)
            assert found.state == "contended"
            assert found.retry_in_seconds is not None
            assert found.retry_in_seconds > 15
        await asyncio.sleep(0.05)

    _with(run, tmp_path, body)


def test_a_port_that_nobody_answers_on_is_not_said_to_be_another_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_end, "_ALIVE_SECONDS", 0.05)

    async def body(host: SshHost) -> None:
        # As an old session of ours holds it, on a relay that has no command to end that.
        with socket.create_server(("127.0.0.1", host.relay.public_port)):
            async with _running(host.relay) as there:
                there.tunnel.up()
                await until(lambda: there.states.count("connecting") == 6)
                assert set(there.states) == {"connecting", "backoff"}
                assert "nothing answers there" in (there.tunnel.status().last_error or "")

    _with(asyncio.run, tmp_path, body)


def test_a_port_that_is_taken_again_and_again_is_another_daemons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_end, "_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(link, "_RELEASE_PAUSES", (0.01,))
    taken_over: list[object] = []

    async def take_over(connection: asyncssh.SSHClientConnection) -> int:
        taken_over.append(connection)
        return 1

    monkeypatch.setattr(link, "take_over", take_over)

    async def body(host: SshHost) -> None:
        with socket.create_server(("127.0.0.1", host.relay.public_port)):
            async with _running(host.relay) as there:
                there.tunnel.up()
                await there.reach("contended")
                assert len(taken_over) == 3

    _with(asyncio.run, tmp_path, body)


def test_a_host_on_the_way_is_passed_and_must_be_pinned_too(tmp_path: Path) -> None:
    # asyncssh's own server, which is the host on the way here, does not pass data on under uvloop.
    async def body(host: SshHost) -> None:
        async with ssh_host(tmp_path) as hop:
            relay = replace(host.relay, jump=(f"hop@127.0.0.1:{hop.port}",))
            async with _running(relay) as there:
                there.tunnel.up()
                assert (await there.tunnel.outcome(seconds=20)).state == "up"
                assert hop.passed_on == [("127.0.0.1", host.port)]
                _, writer = await asyncio.open_connection("127.0.0.1", relay.public_port)
                writer.write(b"through both")
                async with asyncio.timeout(20):
                    while there.tunnel.status().bytes_in < 12:
                        await asyncio.sleep(0.01)
                writer.close()
            lines = (tmp_path / "ssh" / "known_hosts").read_text().splitlines(keepends=True)
            rest = "".join(line for line in lines if f":{hop.port} " not in line)
            (tmp_path / "ssh" / "known_hosts").write_text(rest)
            async with _running(relay) as there:
                there.tunnel.up()
                found = await there.tunnel.outcome(seconds=20)
                assert found.state == "failed"
                assert f":{hop.port} is pinned" in (found.reason or "")

    _with(asyncio.run, tmp_path, body)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("me@bastion", ("me", "bastion", 22)),
        ("me@bastion:2222", ("me", "bastion", 2222)),
        ("me@[fd00::1]", ("me", "fd00::1", 22)),
        ("me@[fd00::1]:2222", ("me", "fd00::1", 2222)),
    ],
)
def test_a_host_on_the_way_is_read(text: str, wanted: tuple[str, str, int]) -> None:
    assert parse_jump(text) == wanted
