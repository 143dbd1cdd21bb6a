"""Keeping the tunnel up: one link after another, each loss with its reason, and a person called where needed.

off → connecting → up → (lost) → connecting …
                 ↘ backoff    it may pass: tried again by itself
                 ↘ contended  another daemon holds the port: asked again now and then, never fought over
                 ↘ failed     only a person can mend it: nothing more is tried until told to

A link that other settings put an end to is seen out beside its successor: the public port moves first, and
answers that run through the old link end there.
"""

import asyncio
from collections.abc import Callable

import asyncssh

from chatvault.tunnel.farewell import Farewell, Farewells
from chatvault.tunnel.faults import CHANGED, NO_TLS, Contended, Fault, LinkFault, explain
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.patience import Patience
from chatvault.tunnel.probe import Outside
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.standing import Standing
from chatvault.tunnel.status import Change, TunnelStatus
from chatvault.tunnel.takeover import Parked
from chatvault.tunnel.tools import Tools
from chatvault.tunnel.wake import watch_network, watch_sleep
from chatvault.tunnel.watch import CHANGE_SECONDS, WAKE_SECONDS, OutsideWatch, RoundTrips

_ERRORS = (OSError, asyncssh.Error, LinkFault, ValueError)


class Tunnel:
    """The tunnel to the relay of `plan`. Nothing happens unless `run` is running.

    `make_doorway` makes a link's doorway, which counts in the traffic it is given; `on_change` hears of each
    state.
    """

    def __init__(
        self,
        plan: Plan,
        make_doorway: Callable[[Relay, Traffic], Doorway],
        public_end: PublicEnd,
        *,
        tools: Tools,
        on_change: Callable[[Change], None],
        on_outside: Callable[[Outside], None],
    ) -> None:
        self._plan = plan
        self._make_doorway = make_doorway
        self._public_end = public_end
        self._tools = tools
        self._traffic = Traffic()
        self._standing = Standing(tools, on_change)
        self._patience = Patience(tools.chance)
        # `_turn`: the link that is kept is not the one that is wanted any more.
        self._wanted, self._turn = asyncio.Event(), asyncio.Event()
        self._nudge, self._is_up = asyncio.Event(), asyncio.Event()
        self._parked = Parked()
        self._link: Link | None = None
        self._silence: Fault | None = None
        self._is_contended = False
        # How long the link's answers may take to end, once it is not wanted; None: it is cut.
        self._drain_seconds: float | None = None
        self._leaving: Farewell | None = None
        self._farewells = Farewells()
        self._trips = RoundTrips(self._is_up, lambda: self._link, self._lose)
        self._outside = OutsideWatch(self._is_up, self.look, on_outside)

    # --- asked from outside

    @property
    def is_wanted(self) -> bool:
        """Whether the tunnel is to be up."""
        return self._wanted.is_set()

    def up(self) -> None:
        """Want the tunnel; where it is wanted already, try at once."""
        self._patience.forget()
        self._standing.settled.clear()
        if self._is_up.is_set() and not self._turn.is_set():
            self._standing.settled.set()
        self._wanted.set()
        self._nudge.set()

    def down(self, *, drain_seconds: float | None = None) -> None:
        """Want it no more; running answers are cut, or may take so long to end."""
        self._wanted.clear()
        if drain_seconds is None:
            self._farewells.cut()
        self._part(drain_seconds)

    def use(self, plan: Plan, *, drain_seconds: float) -> None:
        """Go by another plan. A link that it has no use for ends when its answers have; others stay."""
        before, self._plan = self._plan, plan
        self._outside.address_changed()
        self._patience.forget()
        if plan.relay != before.relay or not self._is_permitted:
            self._part(drain_seconds)
        elif self._link is None:
            # What stood in the way may be gone.
            self._nudge.set()

    def _part(self, drain_seconds: float | None) -> None:
        self._drain_seconds = drain_seconds
        self._turn.set()

    async def outcome(self, *, seconds: float) -> TunnelStatus:
        """Wait until an attempt has come to something, at most so long, and return how things are."""
        try:
            async with asyncio.timeout(seconds):
                await self._standing.settled.wait()
        except TimeoutError:
            pass
        return self.status()

    async def off(self, *, seconds: float) -> TunnelStatus:
        """Wait until the tunnel is down, at most so long."""
        deadline = self._tools.clock() + seconds
        while self._standing.state != "off" and self._tools.clock() < deadline:
            await asyncio.sleep(0.02)
        return self.status()

    def stop_accepting(self) -> None:
        """Have the relay close the public port; connections there are go on."""
        if self._link is not None:
            self._link.stop_listening()

    def status(self) -> TunnelStatus:
        """Return how things are."""
        return self._standing.status(
            self._plan,
            self._traffic,
            round_trip_seconds=self._trips.seconds,
            outside=self._outside.found,
        )

    async def look(self) -> Outside:
        """Look at the public address from outside, now."""
        return await self._public_end.look(self._plan)

    # --- the work

    async def run(self) -> None:
        """Keep the tunnel as it is wanted, until cancelled; then close it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch_sleep(self._woke), name="tunnel: sleep")
                tasks.create_task(watch_network(self._network_changed), name="tunnel: network")
                tasks.create_task(self._trips.run(), name="tunnel: round trips")
                tasks.create_task(self._outside.run(), name="tunnel: outside check")
                await self._follow(tasks)
        finally:
            self._parked.close()
            if self._leaving is not None:
                self._leaving.link.abort()
                self._leaving = None

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Keep up what is wanted, and after each turn what is wanted then."""
        why: Fault | None = None
        while True:
            while not self._wanted.is_set():
                await self._wanted.wait()
                why = None
            self._turn.clear()
            self._drain_seconds = None
            keeper = tasks.create_task(self._keep_up(why), name="tunnel: link")
            try:
                await self._turn.wait()
            finally:
                keeper.cancel()
                await asyncio.wait({keeper})
            # A link that is cut is the user's word, and needs no reason.
            why = None if self._drain_seconds is None else CHANGED
            if (leaving := self._leaving) is not None:
                self._leaving = None
                if self._wanted.is_set():
                    self._standing.enter("connecting", why)
                self._farewells.begin(leaving, tasks)
                # It may be the same port that is asked for next.
                await leaving.has_left_port.wait()
            if not self._wanted.is_set():
                self._standing.lost_at = None
                self._parked.close()
                self._standing.enter("off", why)

    async def _keep_up(self, why: Fault | None) -> None:
        while True:
            self._nudge.clear()
            fault = await self._one_link(why)
            why = None
            away_seconds = self._standing.note_fault(fault)
            await self._rest(fault, away_seconds)

    async def _one_link(self, why: Fault | None) -> Fault:
        """Make a link and hold it until it ends; return why it ended, or could not be made."""
        self._standing.enter("connecting", why)
        self._silence, self._is_contended = None, False
        if not self._is_permitted:
            return NO_TLS
        plan, relay = self._plan, self._plan.relay
        doorway = self._make_doorway(relay, self._traffic)
        link: Link | None = None
        try:
            link = await connect(relay)
            await link.listen(
                relay,
                doorway,
                parked=self._parked,
                is_port_ours=why is not None,
                may_take_over=lambda: self._public_end.check_take_over(plan),
            )
        except _ERRORS as exc:
            if link is not None:
                link.abort()
            self._is_contended = isinstance(exc, Contended)
            self._patience.note_failure()
            return explain(exc, relay=relay.name)
        except BaseException:
            if link is not None:
                link.abort()
            raise
        return await self._hold(link, doorway, relay)

    async def _hold(self, link: Link, doorway: Doorway, relay: Relay) -> Fault:
        began = self._tools.clock()
        self._link = link
        self._is_up.set()
        self._standing.enter_up()
        try:
            await link.wait_closed()
        except BaseException:
            await self._leave(link, doorway)
            raise
        finally:
            self._link, self._trips.seconds = None, None
            self._is_up.clear()
            self._outside.link_ended()
        fault = self._silence or explain(link.end or ConnectionResetError("closed"), relay=relay.name)
        link.release(self._parked if fault.kind == "silent" else None)
        self._patience.note_loss(self._tools.clock() - began)
        return fault

    async def _leave(self, link: Link, doorway: Doorway) -> None:
        if self._drain_seconds is None:
            await link.close()
        else:
            self._standing.lost_at = self._tools.clock()
            self._leaving = Farewell(link, doorway, self._parked, seconds=self._drain_seconds)

    async def _rest(self, fault: Fault, away_seconds: float) -> None:
        """Wait as long as `fault` asks for, or until something speaks for trying at once."""
        if fault.is_permanent:
            self._standing.enter("failed", fault)
            await self._nudge.wait()
            return
        pause = self._patience.pause(fault, outage_seconds=away_seconds, is_contended=self._is_contended)
        self._standing.retry_at = self._tools.clock() + pause
        self._standing.enter("contended" if self._is_contended else "backoff", fault)
        try:
            async with asyncio.timeout(pause):
                await self._nudge.wait()
        except TimeoutError:
            pass
        finally:
            self._standing.retry_at = None

    # --- what is noticed on the side

    def _woke(self, seconds: float) -> None:
        self._patience.forget()
        self._doubt(WAKE_SECONDS)

    def _network_changed(self) -> None:
        self._doubt(CHANGE_SECONDS)

    def _doubt(self, seconds: float) -> None:
        """Prove a link that stands; where none does, try at once, unless only a person can help."""
        if self._link is not None:
            self._trips.doubt(seconds)
        elif self._standing.state == "backoff":
            self._nudge.set()

    def _lose(self, link: Link) -> None:
        if link is self._link:
            relay = self._plan.relay
            self._silence = Fault("silent", f"{relay.name} was not there after a sleep or a move")
            link.drop()

    @property
    def _is_permitted(self) -> bool:
        return self._plan.allow_plain_http or self._public_end.is_tls
