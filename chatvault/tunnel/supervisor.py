"""Keeping the tunnel up: one link after another, each loss with its reason, and a person called where needed.

off → connecting → up → (lost) → connecting …
                 ↘ backoff    it may pass: tried again by itself
                 ↘ contended  another daemon holds the port: asked again now and then, never fought over
                 ↘ failed     only a person can mend it: nothing more is tried until told to
"""

import asyncio
from collections.abc import Callable

import asyncssh

from chatvault.core.backoff import TakeOvers, is_stable, pause_seconds
from chatvault.tunnel.certificate import TlsProvider, presented_certificate
from chatvault.tunnel.faults import NO_TLS, Contended, Fault, LinkFault, explain
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.listener import Doorway
from chatvault.tunnel.probe import Identity, Outside, look_from_outside
from chatvault.tunnel.relay import Relay
from chatvault.tunnel.status import Change, State, TunnelStatus
from chatvault.tunnel.takeover import Parked
from chatvault.tunnel.tools import Tools
from chatvault.tunnel.wake import watch_network, watch_sleep
from chatvault.tunnel.watch import CHANGE_SECONDS, WAKE_SECONDS, OutsideWatch, RoundTrips

_ERRORS = (OSError, asyncssh.Error, LinkFault, ValueError)
_CONTENDED_SECONDS = 30.0
_FLAP_SECONDS = 2.0
_MOST_FLAPS = 5
_ALIVE_SECONDS = 1.5


class Tunnel:
    """The tunnel to one relay. Nothing happens unless `run` is running; `on_change` hears of each state."""

    def __init__(
        self,
        relay: Relay,
        doorway: Doorway,
        *,
        public_url: str,
        tls: TlsProvider,
        allow_plain_http: bool,
        identity: Identity,
        tools: Tools,
        on_change: Callable[[Change], None],
        on_outside: Callable[[Outside], None],
    ) -> None:
        self._relay = relay
        self._doorway = doorway
        self._public_url = public_url
        self._tls = tls
        self._allow_plain_http = allow_plain_http
        self._identity = identity
        self._tools = tools
        self._on_change = on_change
        self._wanted, self._unwanted = asyncio.Event(), asyncio.Event()
        self._unwanted.set()
        self._nudge, self._settled, self._is_up = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._parked = Parked()
        self._take_overs = TakeOvers()
        self._link: Link | None = None
        self._silence: Fault | None = None
        self._is_contended = self._is_lost_link = False
        self._state: State = "off"
        self._reason: str | None = None
        self._hint: str | None = None
        self._last_error: str | None = None
        self._since_ms = tools.now_ms()
        self._lost_at: float | None = None
        self._retry_at: float | None = None
        self._attempt = 0
        self._links = 0
        self._recovery: float | None = None
        self._trips = RoundTrips(self._is_up, lambda: self._link, self._lose)
        self._outside = OutsideWatch(self._is_up, self.look, on_outside)

    # --- asked from outside

    def up(self) -> None:
        """Want the tunnel; where it is wanted already, try at once."""
        self._attempt = 0
        self._settled.clear()
        if self._is_up.is_set():
            self._settled.set()
        self._unwanted.clear()
        self._wanted.set()
        self._nudge.set()

    def down(self) -> None:
        """Want it no more."""
        self._wanted.clear()
        self._unwanted.set()

    async def outcome(self, *, seconds: float) -> TunnelStatus:
        """Wait until an attempt has come to something, at most so long, and return how things are."""
        try:
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        except TimeoutError:
            pass
        return self.status()

    async def off(self, *, seconds: float) -> TunnelStatus:
        """Wait until the tunnel is down, at most so long."""
        deadline = self._tools.clock() + seconds
        while self._state != "off" and self._tools.clock() < deadline:
            await asyncio.sleep(0.02)
        return self.status()

    def stop_accepting(self) -> None:
        """Have the relay close the public port; connections there are go on."""
        if self._link is not None:
            self._link.stop_listening()

    def status(self) -> TunnelStatus:
        """Return how things are."""
        retry_in = None if self._retry_at is None else max(0.0, self._retry_at - self._tools.clock())
        traffic = self._doorway.traffic
        return TunnelStatus(
            state=self._state,
            relay=f"{self._relay.user}@{self._relay.name}",
            public_url=self._public_url,
            since_ms=self._since_ms,
            reason=self._reason,
            hint=self._hint,
            reconnects=max(0, self._links - 1),
            last_error=self._last_error,
            retry_in_seconds=None if retry_in is None else round(retry_in, 2),
            connections=len(traffic.open),
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            round_trip_seconds=self._trips.seconds,
            last_recovery_seconds=self._recovery,
            outside=self._outside.found,
        )

    async def look(self) -> Outside:
        """Look at the public address from outside, now."""
        return await self._look(seconds=8.0)

    # --- the work

    async def run(self) -> None:
        """Keep the tunnel as it is wanted, until cancelled; then close it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_sleep(self._woke), name="tunnel: sleep")
            tasks.create_task(watch_network(self._network_changed), name="tunnel: network")
            tasks.create_task(self._trips.run(), name="tunnel: round trips")
            tasks.create_task(self._outside.run(), name="tunnel: outside check")
            while True:
                await self._wanted.wait()
                keeper = tasks.create_task(self._keep_up(), name="tunnel: link")
                try:
                    await self._unwanted.wait()
                finally:
                    keeper.cancel()
                    await asyncio.wait({keeper})
                self._set("off", None)

    async def _keep_up(self) -> None:
        try:
            while True:
                self._nudge.clear()
                fault = await self._one_link()
                self._last_error = fault.reason
                if self._lost_at is None:
                    self._lost_at = self._tools.clock()
                await self._rest(fault)
        finally:
            self._lost_at = None
            self._parked.close()

    async def _one_link(self) -> Fault:
        """Make a link and hold it until it ends; return why it ended, or could not be made."""
        self._set("connecting", None)
        self._silence, self._is_contended = None, False
        if self._tls() is None and not self._allow_plain_http:
            return NO_TLS
        link: Link | None = None
        try:
            link = await connect(self._relay)
            await link.listen(
                self._relay, self._doorway, parked=self._parked, may_take_over=self._may_take_over
            )
        except _ERRORS as exc:
            if link is not None:
                link.abort()
            self._is_contended = isinstance(exc, Contended)
            self._is_lost_link = False
            return explain(exc, relay=self._relay.name)
        except BaseException:
            if link is not None:
                link.abort()
            raise
        return await self._hold(link)

    async def _hold(self, link: Link) -> Fault:
        began = self._tools.clock()
        outage = None if self._lost_at is None else began - self._lost_at
        self._link, self._lost_at = link, None
        self._links += 1
        self._recovery = outage if outage is not None else self._recovery
        self._is_up.set()
        self._set("up", None, outage=outage)
        try:
            await link.wait_closed()
        except BaseException:
            await link.close()
            raise
        finally:
            self._link, self._trips.seconds = None, None
            self._is_up.clear()
            self._outside.link_ended()
        self._is_lost_link = self._tools.clock() - began >= _FLAP_SECONDS
        fault = self._silence or explain(link.end or ConnectionResetError("closed"), relay=self._relay.name)
        link.release(self._parked if fault.kind == "silent" else None)
        if is_stable(self._tools.clock() - began):
            self._attempt = 0
        return fault

    async def _rest(self, fault: Fault) -> None:
        """Wait as long as `fault` asks for, or until something speaks for trying at once."""
        if fault.is_permanent:
            self._set("failed", fault)
            await self._nudge.wait()
            return
        now = self._tools.clock()
        assert self._lost_at is not None
        if self._is_contended:
            pause = _CONTENDED_SECONDS * (0.7 + 0.3 * self._tools.chance())
        else:
            # A link that stood is replaced at once, unless it has gone again and again.
            attempt = 0 if self._is_lost_link and self._attempt < _MOST_FLAPS else max(1, self._attempt)
            pause = pause_seconds(
                fault.kind, attempt, outage_seconds=now - self._lost_at, chance=self._tools.chance()
            )
        self._attempt += 1
        self._retry_at = now + pause
        self._set("contended" if self._is_contended else "backoff", fault)
        try:
            async with asyncio.timeout(pause):
                await self._nudge.wait()
        except TimeoutError:
            pass
        self._retry_at = None

    async def _may_take_over(self) -> None:
        """Raise Contended where another daemon answers on the port, LinkFault where something else does."""
        now = self._tools.clock()
        met = await self._look(seconds=_ALIVE_SECONDS)
        if met.verdict == "other_daemon" or self._take_overs.is_a_fight(now):
            raise Contended(
                Fault(
                    "busy",
                    f"another ChatVault uses port {self._relay.public_port} on {self._relay.host}",
                    "stop the other one, or give each a relay or a tunnel.remote_port of its own",
                )
            )
        if met.verdict == "stranger":
            raise LinkFault(Fault("busy", met.detail, met.fix))
        self._take_overs = self._take_overs.with_one_at(now)

    # --- what is noticed on the side

    def _woke(self, seconds: float) -> None:
        self._attempt = 0
        self._doubt(WAKE_SECONDS)

    def _network_changed(self) -> None:
        self._doubt(CHANGE_SECONDS)

    def _doubt(self, seconds: float) -> None:
        """Prove a link that stands; where none does, try at once, unless only a person can help."""
        if self._link is not None:
            self._trips.doubt(seconds)
        elif self._state == "backoff":
            self._nudge.set()

    def _lose(self, link: Link) -> None:
        if link is self._link:
            self._silence = Fault("silent", f"{self._relay.name} was not there after a sleep or a move")
            link.drop()

    async def _look(self, *, seconds: float) -> Outside:
        context = self._tls()
        certificate = None if context is None else presented_certificate(context)
        return await look_from_outside(
            self._public_url, self._identity, self._tools.nonce(), certificate=certificate, seconds=seconds
        )

    def _set(self, state: State, fault: Fault | None, *, outage: float | None = None) -> None:
        reason, hint = (None, None) if fault is None else (fault.reason, fault.hint)
        if state != self._state:
            self._since_ms = self._tools.now_ms()
        is_news = (state, reason) != (self._state, self._reason)
        self._state, self._reason, self._hint = state, reason, hint
        if state in ("up", "backoff", "contended", "failed") or (
            # Who asked for it and waits is told that somebody else wants it no more.
            state == "off" and not self._wanted.is_set()
        ):
            self._settled.set()
        if is_news:
            self._on_change(Change(state, reason, hint, outage))
