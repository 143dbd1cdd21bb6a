"""Logging in to the relay, over hosts on the way where there are some, with nothing but what was pinned."""

import asyncio
import socket
from dataclasses import dataclass, field

import asyncssh

from chatvault.errors import ChatVaultError
from chatvault.tunnel.dial import dial
from chatvault.tunnel.faults import Fault, LinkFault
from chatvault.tunnel.keys import key_file
from chatvault.tunnel.known_hosts import host_pattern, known_hosts_file, pinned
from chatvault.tunnel.relay import Relay, parse_jump

_KEEPALIVE_SECONDS = 4.0
_KEEPALIVE_COUNT = 2
_CONNECT_SECONDS = 10.0
# A relay may say as much as it likes; what is listened for comes early, and is short.
_MOST_REMARKS, _LONGEST_REMARK = 50, 200
# AES in hardware first: asyncssh's own first choice, chacha20, runs at a third of its speed.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")


class Watcher(asyncssh.SSHClient):
    """Hear what sshd says beside its answers, and how the link ends."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.end: Exception | None = None

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Keep sshd's remarks: they alone tell a forbidden port from a taken one."""
        if len(self.remarks) < _MOST_REMARKS:
            self.remarks.append(msg[:_LONGEST_REMARK].lower())

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the reason."""
        self.end = exc


@dataclass(frozen=True, slots=True)
class Login:
    """A connection that is logged in; `spare` duplicates its socket, `hops` are the hosts on the way."""

    connection: asyncssh.SSHClientConnection
    watcher: Watcher
    spare: socket.socket
    hops: list[asyncssh.SSHClientConnection] = field(default_factory=list)


def check_way(relay: Relay) -> None:
    """See whether a login can succeed: every host on the way is pinned, and there is a key.

    Raises LinkFault or FileNotFoundError.
    """
    for host, port in [*(parse_jump(hop)[1:] for hop in relay.jump), (relay.host, relay.port)]:
        if not _is_pinned(relay, host, port):
            way = f"chatvault tunnel setup USER@{host}"
            raise LinkFault(
                Fault(
                    "permanent",
                    f"no host key of {host_pattern(host, port)} is pinned",
                    way if host == relay.host else f"{way} --pin SHA256:…, its fingerprint",
                )
            )
    if not key_file(relay.ssh_dir).exists():
        raise FileNotFoundError(2, "missing", str(key_file(relay.ssh_dir)))


def _is_pinned(relay: Relay, host: str, port: int) -> bool:
    try:
        return bool(pinned(relay.ssh_dir, host, port))
    except ChatVaultError as exc:
        raise LinkFault(Fault("permanent", exc.message, exc.hint)) from exc


async def log_in(relay: Relay) -> Login:
    """Log in to the relay within 10 s. Raises LinkFault, OSError, or an error of asyncssh."""
    check_way(relay)
    async with asyncio.timeout(_CONNECT_SECONDS):
        return await _walk(relay)


async def _walk(relay: Relay) -> Login:
    hops: list[asyncssh.SSHClientConnection] = []
    first = parse_jump(relay.jump[0])[1:] if relay.jump else (relay.host, relay.port)
    connection = await dial(*first)
    spare: socket.socket | None = None
    try:
        spare = connection.dup()
        for hop in relay.jump:
            user, host, port = parse_jump(hop)
            hops.append(await _step(relay, (user, host, port), Watcher(), connection, hops))
        watcher = Watcher()
        end = (relay.user, relay.host, relay.port)
        made = await _step(relay, end, watcher, connection, hops)
    except BaseException:
        for each in reversed(hops):
            each.abort()
        connection.close()
        if spare is not None:
            spare.close()
        raise
    return Login(made, watcher, spare, hops)


async def _step(
    relay: Relay,
    end: tuple[str, str, int],
    watcher: Watcher,
    connection: socket.socket,
    hops: list[asyncssh.SSHClientConnection],
) -> asyncssh.SSHClientConnection:
    user, host, port = end
    way: dict[str, object] = {"tunnel": hops[-1]} if hops else {"sock": connection}
    made, _ = await asyncssh.create_connection(
        lambda: watcher,
        host,
        port,
        username=user,
        client_keys=[str(key_file(relay.ssh_dir))],
        known_hosts=str(known_hosts_file(relay.ssh_dir)),
        preferred_auth="publickey",
        # Neither the user's own settings nor the keys of their agent have a say here.
        config=None,
        agent_path=None,
        encryption_algs=list(_CIPHERS),
        compression_algs=None,
        keepalive_interval=_KEEPALIVE_SECONDS,
        keepalive_count_max=_KEEPALIVE_COUNT,
        login_timeout=_CONNECT_SECONDS,
        **way,
    )
    return made
