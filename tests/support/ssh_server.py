"""An SSH server in this very process, for tests that must run anywhere: it forwards a port as sshd does."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

from chatvault.tunnel import keys, known_hosts
from chatvault.tunnel.faults import LinkFault
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.relay import Relay
from chatvault.tunnel.takeover import Parked
from tests.support.ports import free_port


class _Server(asyncssh.SSHServer):
    def __init__(self, host: "SshHost") -> None:
        self._host = host

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._host.connections.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def server_requested(self, listen_host: str, listen_port: int) -> bool:
        return self._host.allows_forwarding

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        self._host.passed_on.append((dest_host, dest_port))
        return True


@dataclass
class SshHost:
    """A relay in this process: where it listens, and who is connected."""

    port: int
    relay: Relay
    allows_forwarding: bool = True
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    passed_on: list[tuple[str, int]] = field(default_factory=list)

    def drop_all(self) -> None:
        """End every session at once, as a killed sshd does."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()


@asynccontextmanager
async def ssh_host(folder: Path, **options: Any) -> AsyncIterator[SshHost]:
    """Run a relay that knows the key in `folder`/ssh and whose own key is pinned there."""
    ssh_dir = folder / "ssh"
    ssh_dir.mkdir(mode=0o700, exist_ok=True)
    public = keys.ensure_key(ssh_dir)
    allowed = folder / "authorized_keys"
    allowed.write_text(f"{public}\n")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    relay = Relay(
        host="127.0.0.1", port=0, user="relay", bind="127.0.0.1", public_port=free_port(), ssh_dir=ssh_dir
    )
    host: SshHost | None = None

    def serve() -> _Server:
        assert host is not None
        return _Server(host)

    acceptor = await asyncssh.create_server(
        serve,
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=str(allowed),
        encoding=None,
        **options,
    )
    port = acceptor.get_port()
    relay = Relay(
        host="127.0.0.1",
        port=port,
        user="relay",
        bind="127.0.0.1",
        public_port=relay.public_port,
        ssh_dir=ssh_dir,
    )
    known_hosts.pin(ssh_dir, "127.0.0.1", port, [host_key.export_public_key("openssh").decode()])
    host = SshHost(port, relay)
    try:
        yield host
    finally:
        host.drop_all()
        acceptor.close()
        await acceptor.wait_closed()


async def nobody_there() -> None:
    """Say that the port may be taken over."""


async def open_link(relay: Relay, make_protocol: Callable[[], asyncio.Protocol]) -> tuple[Link, Doorway]:
    """Make a link whose connections are served by what `make_protocol` makes."""
    doorway = Doorway(
        make_protocol, Traffic(), local=("127.0.0.1", relay.public_port), admit=lambda address: True
    )
    link = await connect(relay)
    try:
        await link.listen(doorway, parked=Parked(), may_take_over=nobody_there)
    except LinkFault:
        link.abort()
        raise
    return link, doorway


def local_socket(port: int) -> socket.socket:
    """Return a plain, blocking connection to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port), 10)
