"""One SSH link to the relay: dialled, logged in, its public port listened on, and watched until it ends."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from chatvault.tunnel import ssh_internals
from chatvault.tunnel.dial import dial
from chatvault.tunnel.fair_link import FairLink
from chatvault.tunnel.faults import Fault, LinkFault
from chatvault.tunnel.keys import key_file
from chatvault.tunnel.known_hosts import host_pattern, known_hosts_file, pinned
from chatvault.tunnel.listener import WINDOW_BYTES, Doorway
from chatvault.tunnel.takeover import Parked, take_over

KEEPALIVE_SECONDS = 4.0
KEEPALIVE_COUNT = 2
CONNECT_SECONDS = 10.0
_LISTEN_SECONDS = 8.0
_PROOF_SECONDS = 3.0
# AES in hardware first: asyncssh's own first choice, chacha20, runs at a third of its speed.
_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")
# sshd lets go of a port a moment after the session that held it has ended.
_RELEASE_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where the relay is, and what to ask of it. `jump` are hosts on the way: USER@HOST or USER@HOST:PORT."""

    host: str
    port: int
    user: str
    bind: str
    public_port: int
    ssh_dir: Path
    jump: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The relay as people write it."""
        return host_pattern(self.host, self.port)


class _Watcher(asyncssh.SSHClient):
    """Hear what sshd says beside its answers, and how the link ends."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.end: Exception | None = None

    def debug_msg_received(self, msg: str, lang: str, always_display: bool) -> None:
        """Keep sshd's remarks: they alone tell a forbidden port from a taken one."""
        if len(self.remarks) < 50:
            self.remarks.append(msg.lower())

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the reason."""
        self.end = exc


class Link:
    """A link that is up. `end` holds what ended it, once `wait_closed` has returned."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        watcher: _Watcher,
        *,
        spare: socket.socket | None,
        hops: list[asyncssh.SSHClientConnection],
    ) -> None:
        self._connection = connection
        self._watcher = watcher
        self._spare = spare
        self._hops = hops
        self._listener: asyncssh.SSHListener | None = None
        self.took_over: int | None = None

    @property
    def end(self) -> Exception | None:
        """What ended the link."""
        return self._watcher.end

    async def listen(
        self,
        relay: Relay,
        doorway: Doorway,
        *,
        parked: Parked,
        may_take_over: Callable[[], Awaitable[None]],
    ) -> None:
        """Have the relay listen, freeing the port from a dead session of ours where one holds it.

        `may_take_over` raises LinkFault where another daemon answers on the port. Raises LinkFault.
        """
        fair = FairLink(asyncio.get_running_loop())
        ssh_internals.take_over_flow_control(self._connection, pause=fair.pause, resume=fair.resume)
        # The way is good now, so a reset reaches sshd; whatever these sessions held is free before we ask.
        was_parked = parked.reset() > 0
        factory = doorway.session_factory(fair)
        if await self._try_to_listen(relay, factory, again=was_parked):
            return
        await may_take_over()
        self.took_over = await take_over(self._connection)
        if self.took_over and await self._try_to_listen(relay, factory, again=True):
            return
        raise LinkFault(
            Fault(
                "busy",
                f"port {relay.public_port} on {relay.host} is taken, and nothing answers there",
                "an old session may hold it for minutes; a relay set up by ChatVault lets go at once",
            )
        )

    async def _try_to_listen(
        self, relay: Relay, factory: Callable[[str, int], asyncssh.SSHTCPSession[bytes]], *, again: bool
    ) -> bool:
        for pause in (0.0, *(_RELEASE_PAUSES if again else ())):
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(_LISTEN_SECONDS):
                    self._listener = await self._connection.create_server(
                        factory, relay.bind, relay.public_port, window=WINDOW_BYTES
                    )
                return True
            except asyncssh.ChannelListenError:
                self._raise_if_forbidden(relay)
        return False

    def _raise_if_forbidden(self, relay: Relay) -> None:
        for remark in self._watcher.remarks:
            if "forwarding refused" in remark or "disabled port forwarding" in remark:
                raise LinkFault(
                    Fault(
                        "permanent",
                        f"{relay.host} forbids {relay.user} to listen on {relay.bind}:{relay.public_port}",
                        f"chatvault tunnel setup USER@{relay.host} allows it, and that port alone",
                    )
                )

    async def wait_closed(self) -> None:
        """Return when the link has ended."""
        await self._connection.wait_closed()

    async def round_trip(self) -> float | None:
        """Return the round-trip time to the relay in seconds, None where it can't be told.

        Raises TimeoutError after 3 s.
        """
        # Not the loop's clock: uvloop's goes in whole milliseconds.
        started = time.monotonic()
        async with asyncio.timeout(_PROOF_SECONDS):
            is_proof = await ssh_internals.prove_alive(self._connection)
        return time.monotonic() - started if is_proof else None

    def stop_listening(self) -> None:
        """Take no more connections; those there are go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def close(self) -> None:
        """End the link politely."""
        self.stop_listening()
        self._connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._connection.wait_closed()
        self.abort()

    def drop(self) -> None:
        """End a link that went silent. The TCP connection stays, until it is released."""
        self._connection.abort()

    def abort(self) -> None:
        """End the link at once."""
        self._connection.abort()
        for hop in reversed(self._hops):
            hop.close()
        self.release(None)

    def release(self, parked: Parked | None) -> None:
        """Let go of the TCP connection; with `parked`, keep it to be reset later: the relay went silent."""
        if self._spare is not None:
            if parked is not None:
                parked.keep(self._spare)
            else:
                self._spare.close()
            self._spare = None
        for hop in self._hops:
            hop.abort()


async def connect(relay: Relay) -> Link:
    """Log in to the relay within 10 s. Raises LinkFault, OSError, or an error of asyncssh."""
    if not pinned(relay.ssh_dir, relay.host, relay.port):
        raise LinkFault(
            Fault(
                "permanent",
                f"no host key of {relay.name} is pinned in {known_hosts_file(relay.ssh_dir)}",
                f"chatvault tunnel setup USER@{relay.host}",
            )
        )
    if not key_file(relay.ssh_dir).exists():
        raise FileNotFoundError(2, "missing", str(key_file(relay.ssh_dir)))
    async with asyncio.timeout(CONNECT_SECONDS):
        return await _connect(relay)


async def _connect(relay: Relay) -> Link:
    hops: list[asyncssh.SSHClientConnection] = []
    first = _parse_jump(relay.jump[0])[1:] if relay.jump else (relay.host, relay.port)
    connection = await dial(*first)
    spare: socket.socket | None = None
    try:
        spare = connection.dup()
        for hop in relay.jump:
            user, host, port = _parse_jump(hop)
            hops.append(await _log_in(relay, (user, host, port), _Watcher(), connection, hops))
        watcher = _Watcher()
        end = (relay.user, relay.host, relay.port)
        made = await _log_in(relay, end, watcher, connection, hops)
    except BaseException:
        for each in reversed(hops):
            each.abort()
        connection.close()
        if spare is not None:
            spare.close()
        raise
    ssh_internals.acknowledge_at_once(hops[0] if hops else made, spare)
    return Link(made, watcher, spare=spare, hops=hops)


async def _log_in(
    relay: Relay,
    end: tuple[str, str, int],
    watcher: _Watcher,
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
        keepalive_interval=KEEPALIVE_SECONDS,
        keepalive_count_max=KEEPALIVE_COUNT,
        login_timeout=CONNECT_SECONDS,
        **way,
    )
    return made


def _parse_jump(text: str) -> tuple[str, str, int]:
    user, _, rest = text.rpartition("@")
    host, _, port = rest.partition(":") if not rest.startswith("[") else _bracketed(rest)
    return user, host, int(port or 22)


def _bracketed(rest: str) -> tuple[str, str, str]:
    host, _, port = rest[1:].partition("]")
    return host, "", port.removeprefix(":")
