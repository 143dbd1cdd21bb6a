"""The tunnel told this and that in any order, at the worst moments: it always ends as it is wanted."""

import asyncio
import logging
import os
import random
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from chatvault.daemon.http_server import HttpServer
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.probe import Identity
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.status import Change
from chatvault.tunnel.supervisor import Tunnel
from chatvault.tunnel.tools import Tools
from tests.support.ports import free_port
from tests.support.ssh_server import SshHost, ssh_host
from tests.support.waiting import until

_STEPS = 25
# Long enough for a login, short enough to cut most of them off; and none at all.
_PAUSES = (0.0, 0.0, 0.001, 0.005, 0.02, 0.05, 0.2)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Say hello at once, or, at `/slow`, after the client has left."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        for _ in range(20):
            await asyncio.sleep(0.1)
            await send({"type": "http.response.body", "body": b".", "more_body": True})
    await send({"type": "http.response.body", "body": b"hello"})


class _Wanderer:
    """A tunnel, what is told to it, and the clients that come meanwhile."""

    def __init__(self, hosts: list[SshHost], server: HttpServer, dice: random.Random) -> None:
        self.hosts = hosts
        self.dice = dice
        self.changes: list[Change] = []
        first = hosts[0].relay
        ports = [first.public_port, free_port()]
        self.relays = [replace(host.relay, public_port=port) for host in hosts for port in ports]
        self.relays += [replace(relay, user="other") for relay in self.relays]
        self.ports = ports
        self.plan = self._plan(first, is_allowed=True)
        self.clients: set[asyncio.Task[None]] = set()
        self.taken: list[socket.socket] = []
        self.told: list[str] = []
        make_protocol = server.protocol_factory(via="tunnel")

        def make_doorway(relay: Relay, traffic: Traffic) -> Doorway:
            return Doorway(
                make_protocol,
                traffic,
                local=("127.0.0.1", relay.public_port),
                admit=lambda address: True,
                let_go=server.let_go,
            )

        tools = Tools(
            clock=time.monotonic,
            now_ms=lambda: time.time_ns() // 1_000_000,
            chance=lambda: dice.random() / 50,
            nonce=lambda: "0" * 32,
        )
        self.tunnel = Tunnel(
            self.plan,
            make_doorway,
            PublicEnd(Identity(b"k" * 32), lambda: None, tools),
            tools=tools,
            on_change=self.changes.append,
            on_outside=lambda found: None,
        )

    def _plan(self, relay: Relay, *, is_allowed: bool) -> Plan:
        url = f"http://127.0.0.1:{relay.public_port}"
        return Plan(relay=relay, public_url=url, allow_plain_http=is_allowed)

    async def step(self) -> None:
        """Do one thing, and wait for a while or not at all."""
        what = self.dice.choice(
            (
                *(self.up, self.up, self.down, self.drain, self.use, self.use, self.forbid, self.lose),
                *(self.doubt, self.visit, self.visit, self.take_port, self.give_port),
            )
        )
        self.told.append(what.__name__)
        what()
        pause = self.dice.choice(_PAUSES)
        self.told.append(f"{pause}")
        await asyncio.sleep(pause)
        self.tunnel.status()

    def up(self) -> None:
        self.tunnel.up()

    def down(self) -> None:
        self.tunnel.down()

    def drain(self) -> None:
        self.tunnel.down(drain_seconds=self.dice.choice([0.0, 0.1, 30.0]))

    def use(self) -> None:
        self.plan = self._plan(self.dice.choice(self.relays), is_allowed=True)
        self.tunnel.use(self.plan, drain_seconds=self.dice.choice([0.0, 0.1, 30.0]))

    def forbid(self) -> None:
        self.plan = replace(self.plan, allow_plain_http=False)
        self.tunnel.use(self.plan, drain_seconds=self.dice.choice([0.0, 0.1, 30.0]))

    def lose(self) -> None:
        self.dice.choice(self.hosts).drop_all()

    def doubt(self) -> None:
        self.tunnel._woke(10.0)

    def take_port(self) -> None:
        try:
            self.taken.append(socket.create_server(("127.0.0.1", self.dice.choice(self.ports))))
        except OSError:
            pass

    def give_port(self) -> None:
        while self.taken:
            self.taken.pop().close()

    def visit(self) -> None:
        port, path = self.dice.choice(self.ports), self.dice.choice(["/", "/slow"])
        self.clients.add(asyncio.ensure_future(self._ask(port, path)))

    async def _ask(self, port: int, path: str) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            await reader.read(100)
            await asyncio.sleep(self.dice.random())
        except OSError:
            pass
        finally:
            writer.close()

    async def settles(self) -> None:
        """See that it is as it is wanted by now, and that nothing is left of what was before."""
        self.give_port()
        self.plan = replace(self.plan, allow_plain_http=True)
        self.tunnel.use(self.plan, drain_seconds=30.0)
        for client in self.clients:
            client.cancel()
        await asyncio.gather(*self.clients, return_exceptions=True)
        if self.tunnel.is_wanted:
            self.tunnel.up()
            await until(lambda: self._is_up_alone(), seconds=30)
            assert b"hello" in await _hello(self.plan.relay.public_port)
            await until(lambda: not self.tunnel.status().connections)
        else:
            await until(lambda: self.tunnel.status().state == "off" and not self._standing_links())
        ours = self.plan.relay.public_port if self.tunnel.is_wanted else None
        await until(lambda: all(_is_free(port) for port in self.ports if port != ours))

    def _is_up_alone(self) -> bool:
        links = self._standing_links()
        return self.tunnel.status().state == "up" and links == [self.plan.relay.port]

    def _standing_links(self) -> list[int]:
        return [host.port for host in self.hosts for each in host.connections if not each.is_closed()]


async def _hello(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def _wander(folder: Path, dice: random.Random, *, is_stopped: bool) -> None:
    complaints: list[dict[str, Any]] = []
    sockets = _sockets()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(ssh_host(folder)) for _ in range(2)]
        server = HttpServer(_app, [])
        wanderer = _Wanderer(hosts, server, dice)
        running = asyncio.ensure_future(wanderer.tunnel.run())
        try:
            for _ in range(_STEPS):
                await wanderer.step()
                assert not running.done(), wanderer.told
            if is_stopped:
                wanderer.tunnel.stop_accepting()
                await asyncio.sleep(dice.choice(_PAUSES))
            else:
                try:
                    await wanderer.settles()
                except AssertionError as exc:
                    raise AssertionError((wanderer.told, wanderer.tunnel.status())) from exc
        finally:
            wanderer.give_port()
            for client in wanderer.clients:
                client.cancel()
            await server.stop(drain_seconds=0, hurry=asyncio.Event())
            await server.abandon(seconds=0)
            running.cancel()
            await asyncio.wait({running})
        assert running.cancelled()
        await until(lambda: not wanderer._standing_links())
        await until(lambda: not _ours())
    await until(lambda: _sockets() <= sockets)
    assert not complaints


def _sockets() -> int:
    """Return how many sockets this process holds."""
    found = (os.path.join("/proc/self/fd", each) for each in os.listdir("/proc/self/fd"))
    return sum(os.path.lexists(each) and os.readlink(each).startswith("socket:") for each in found)


def _ours() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith(("tunnel", "dial"))]


@pytest.mark.seconds(600)
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("is_stopped", [False, True], ids=["on", "stopped"])
def test_whatever_it_is_told_it_ends_as_it_is_wanted(
    is_stopped: bool,
    run: Callable[..., None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_full: bool,
) -> None:
    async def main(seed: int) -> None:
        async with asyncio.timeout(120):
            await _wander(tmp_path, random.Random(seed), is_stopped=is_stopped)

    for seed in range(15 if is_full else 2):
        run(main(seed))
    complaints = [each for each in caplog.records if each.levelno >= logging.ERROR]
    # An app that is cut is one of this test's own.
    assert not [each for each in complaints if not each.name.startswith("uvicorn")]
