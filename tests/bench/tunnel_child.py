"""A small HTTP server at home behind one kind of tunnel: `python -m tests.bench.tunnel_child MODE PORT HOME`.

MODE is `ours` (SSH channels served in process), `asyncssh` (asyncssh's own forward to a port here) or `port`
(a port here alone: OpenSSH's client forwards to it).
"""

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import asyncssh
import uvloop

from chatvault.daemon.http_server import HttpServer, bind
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts
from chatvault.tunnel.keys import key_file
from chatvault.tunnel.known_hosts import known_hosts_file
from chatvault.tunnel.link import connect
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.relay import Relay
from chatvault.tunnel.takeover import Parked
from tests.bench.report import say

RELAY_HOST, PUBLIC_HOST = "10.79.0.2", "10.78.0.1"
_PIECE = b"x" * 16_384
# The load generator looks for one of the mock's stamps in each answer.
_ANSWER = b'{"choices":[{"message":{"content":"@%019d"}}]}' % 1


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer at once; `/bulk` never ends, `/tokens` sends the time twenty times a second."""
    path = scope["path"]
    if path not in ("/bulk", "/tokens"):
        while (await receive())["more_body"]:
            pass
        headers = [(b"content-length", b"%d" % len(_ANSWER)), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        body = _PIECE if path == "/bulk" else b"data: %.6f\n\n" % time.monotonic()
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.sleep(0 if path == "/bulk" else 0.05)


async def _nobody_there() -> None:
    return None


async def _main(mode: str, port: int, home: Path) -> None:
    limits = GuardLimits(max_connections=10_000, max_connections_per_address=10_000)
    listeners = [] if mode == "ours" else bind("127.0.0.1", port)
    server = HttpServer(app, listeners, guard=Guard(limits, Hosts([PUBLIC_HOST])))
    await server.start()
    if mode == "ours":
        relay = Relay(
            host=RELAY_HOST, port=22, user="chatvault-relay", bind="*", public_port=port, ssh_dir=home / "ssh"
        )
        factory = server.protocol_factory(via="tunnel")
        link = await connect(relay)
        doorway = Doorway(factory, Traffic(), local=(PUBLIC_HOST, port), admit=lambda address: True)
        await link.listen(doorway, parked=Parked(), may_take_over=_nobody_there)
    elif mode == "asyncssh":
        connection = await asyncssh.connect(
            RELAY_HOST,
            username="chatvault-relay",
            client_keys=[str(key_file(home / "ssh"))],
            known_hosts=str(known_hosts_file(home / "ssh")),
            config=None,
            # As its own default has it, chacha20 would decide this bench alone.
            encryption_algs=["aes128-gcm@openssh.com"],
        )
        await connection.forward_remote_port("*", port, "127.0.0.1", port)
    say("ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
