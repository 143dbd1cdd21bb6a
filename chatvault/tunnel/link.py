"""One SSH link to the relay: its public port listened on, and watched until it ends."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncssh

from chatvault.tunnel import ssh_internals
from chatvault.tunnel.fair_link import FairLink
from chatvault.tunnel.faults import Fault, LinkFault
from chatvault.tunnel.listener import WINDOW_BYTES, Doorway
from chatvault.tunnel.login import Login, log_in
from chatvault.tunnel.relay import Relay
from chatvault.tunnel.takeover import Parked, take_over

_LISTEN_SECONDS = 8.0
_LEAVE_SECONDS = 3.0
# sshd lets go of a port a moment after the session that held it has ended.
_RELEASE_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


class Link:
    """A link to `relay`, logged in."""

    def __init__(self, relay: Relay, login: Login) -> None:
        self._relay = relay
        self._connection = login.connection
        self._watcher = login.watcher
        self._spare: socket.socket | None = login.spare
        self._hops = login.hops
        self._listener: asyncssh.SSHListener | None = None
        self._doubt: LinkFault | None = None

    async def listen(
        self,
        doorway: Doorway,
        *,
        parked: Parked,
        is_port_ours: bool = False,
        may_take_over: Callable[[], Awaitable[None]],
        on_taken_over: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the relay listen, freeing the port from a dead session of ours where one holds it.

        `is_port_ours` says that a link of this daemon's own may have had it a moment ago; `may_take_over`
        raises LinkFault where another daemon answers on the port; `on_taken_over` hears that other sessions
        were ended for it. Raises LinkFault, or what ended the link.
        """
        loop = asyncio.get_running_loop()
        cork = ssh_internals.cork(self._connection, loop)
        lane = ssh_internals.DataLane(self._connection, cork)
        fair = FairLink(loop, write=lane.write, flush=cork.flush)
        ssh_internals.take_over_flow_control(self._connection, pause=fair.pause, resume=fair.resume)
        if self._spare is not None:
            first = self._hops[0] if self._hops else self._connection
            ssh_internals.acknowledge_at_once(first, self._spare)
        # The way is good now, so a reset reaches sshd; whatever these sessions held is free before we ask.
        was_parked = parked.reset() > 0
        factory = doorway.session_factory(fair)
        if await self._try_to_listen(factory, again=was_parked or is_port_ours):
            return
        await may_take_over()
        if await take_over(self._connection):
            on_taken_over()
            if await self._try_to_listen(factory, again=True):
                return
        if self._connection.is_closed():
            raise self._end()
        raise LinkFault(
            Fault(
                "busy",
                f"port {self._relay.public_port} on {self._relay.host} is taken, and nothing answers there",
                "an old session may hold it for minutes; a relay set up by ChatVault lets go at once",
            )
        )

    async def _try_to_listen(
        self, factory: Callable[[str, int], asyncssh.SSHTCPSession[bytes]], *, again: bool
    ) -> bool:
        relay = self._relay
        for pause in (0.0, *(_RELEASE_PAUSES if again else ())):
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(_LISTEN_SECONDS):
                    self._listener = await self._connection.create_server(
                        factory, relay.bind, relay.public_port, window=WINDOW_BYTES
                    )
                return True
            except asyncssh.ChannelListenError:
                if self._connection.is_closed():
                    # asyncssh answers all that is still asked with a no when the connection ends.
                    raise self._end() from None
                self._raise_if_forbidden()
        return False

    def _raise_if_forbidden(self) -> None:
        relay = self._relay
        for remark in self._watcher.remarks:
            if "forwarding refused" in remark or "disabled port forwarding" in remark:
                raise LinkFault(
                    Fault(
                        "permanent",
                        f"{relay.host} forbids {relay.user} to listen on {relay.bind}:{relay.public_port}",
                        f"chatvault tunnel setup USER@{relay.host} allows it, and that port alone",
                    )
                )

    async def wait_closed(self) -> Exception:
        """Return what ended the link, when it has ended."""
        await self._connection.wait_closed()
        return self._end()

    def _end(self) -> Exception:
        return self._doubt or self._watcher.end or ConnectionResetError("closed")

    async def round_trip(self, *, seconds: float) -> float | None:
        """Return the round-trip time to the relay in seconds, None where it can't be told.

        Raises TimeoutError after `seconds`.
        """
        # Not the loop's clock: uvloop's goes in whole milliseconds.
        started = time.monotonic()
        async with asyncio.timeout(seconds):
            is_proof = await ssh_internals.prove_alive(self._connection)
        return time.monotonic() - started if is_proof else None

    def stop_listening(self) -> None:
        """Take no more connections; those there are go on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def leave_port(self) -> bool:
        """Have the relay let go of the public port; return whether it has said within 3 s that it did."""
        listener, self._listener = self._listener, None
        if listener is None:
            return True
        listener.close()
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await listener.wait_closed()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End the link politely."""
        self.stop_listening()
        self._connection.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._connection.wait_closed()
        self.abort()

    def drop(self) -> None:
        """End a link that was doubted and did not answer. The TCP connection stays, until it is released."""
        self._doubt = LinkFault(Fault("silent", f"{self._relay.name} was not there after a sleep or a move"))
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
    return Link(relay, await log_in(relay))
