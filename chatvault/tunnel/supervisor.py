"""Keeping the tunnel as it is wanted: up or down, and where it leads.

off → connecting → up → (lost) → connecting …
                 ↘ backoff    it may pass: tried again by itself
                 ↘ contended  another daemon holds the port: asked again now and then, never fought over
                 ↘ failed     only a person can mend it: nothing more is tried until told to

A link that other settings put an end to is seen out beside its successor: the public port moves first, and
answers that run through the old link end there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from chatvault.tunnel.farewell import Farewell, Farewells
from chatvault.tunnel.faults import CHANGED, STOPS
from chatvault.tunnel.keeper import Keeper
from chatvault.tunnel.link import Link
from chatvault.tunnel.link_end import LinkEnd, Lost, Parted, Turn
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.patience import Patience
from chatvault.tunnel.probe import Outside
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.standing import Standing
from chatvault.tunnel.status import Change, TunnelStatus
from chatvault.tunnel.tools import Tools
from chatvault.tunnel.wake import watch_network, watch_sleep
from chatvault.tunnel.watch import CHANGE_SECONDS, WAKE_SECONDS, OutsideWatch, RoundTrips


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
        self._public_end = public_end
        self._tools = tools
        self._standing = Standing(tools, on_change)
        self._farewells = Farewells()
        self._keeper = Keeper(
            make_doorway,
            public_end,
            self._farewells,
            tools=tools,
            on_up=self._standing.up,
            on_end=self._link_ended,
        )
        self._patience = Patience(tools.chance)
        self._wanted, self._nudge = asyncio.Event(), asyncio.Event()
        self._turn, self._has_turned = Turn(), asyncio.Event()
        self._is_stopping = False
        self._trips = RoundTrips(self._keeper.is_up, lambda: self._keeper.link)
        self._outside = OutsideWatch(self._keeper.is_up, self.look, on_outside)

    # --- what is wanted

    @property
    def is_wanted(self) -> bool:
        """Whether the tunnel is to be up."""
        return self._wanted.is_set()

    def up(self) -> None:
        """Want the tunnel; where it is wanted already, try at once. Once it stops, that is not heard."""
        if self._is_stopping:
            return
        self._patience.forget()
        self._standing.settled.clear()
        if self._keeper.is_up.is_set() and not self._has_turned.is_set():
            self._standing.settled.set()
        self._wanted.set()
        self._nudge.set()

    def down(self, *, drain_seconds: float | None = None) -> None:
        """Want it no more; running answers are cut, or may take so long to end."""
        self._wanted.clear()
        if drain_seconds is None:
            self._farewells.hurry()
            self._part(Turn())
        else:
            self._part(Turn(CHANGED, drain_seconds))

    def use(self, plan: Plan, *, drain_seconds: float) -> None:
        """Go by another plan. A link that it has no use for ends when its answers have; others stay."""
        before, self._plan = self._plan, plan
        self._outside.address_changed()
        self._patience.forget()
        if plan.relay != before.relay or not self._keeper.may_follow(plan):
            self._part(Turn(CHANGED, drain_seconds))
        elif self._keeper.link is None:
            # What stood in the way may be gone.
            self._nudge.set()

    def _part(self, turn: Turn) -> None:
        self._turn = turn
        self._has_turned.set()
        self._nudge.set()

    def stop_accepting(self) -> None:
        """Open nothing from now on, and have the relay close the public port; connections there are go on."""
        self._is_stopping = True
        self._wanted.clear()
        self._turn = replace(self._turn, why=STOPS)
        self._nudge.set()
        if self._keeper.link is None:
            self._has_turned.set()
        else:
            # The daemon ends it, last of all; if it is lost before, no other is made.
            self._keeper.link.stop_listening()

    # --- how it is

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

    def status(self) -> TunnelStatus:
        """Return how things are."""
        return self._standing.status(
            self._plan,
            self._keeper.traffic,
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
            await self._keeper.close()

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Go from state to state."""
        end: LinkEnd | None = None
        while True:
            if not self._wanted.is_set():
                self._keeper.parked.close()
                self._standing.off(self._turn.why)
                await self._wanted.wait()
                self._turn = Turn()
            self._standing.connecting(self._turn.why)
            self._turn = Turn()
            self._has_turned.clear()
            self._nudge.clear()
            end = await self._keeper.one_link(
                self._plan, self._has_turned, is_port_ours=isinstance(end, Parted)
            )
            if isinstance(end, Lost):
                await self._rest(end)
            elif end.standing is not None:
                await self._see_out(*end.standing, tasks=tasks)

    async def _rest(self, end: Lost) -> None:
        """Wait as long as `end` asks for, or until something speaks for going on at once."""
        self._standing.away(end.fault)
        pause = self._patience.pause(end, outage_seconds=self._standing.away_seconds)
        self._standing.waits(end.fault, pause)
        try:
            async with asyncio.timeout(pause):
                await self._nudge.wait()
        except TimeoutError:
            pass

    async def _see_out(self, link: Link, doorway: Doorway, *, tasks: asyncio.TaskGroup) -> None:
        """Have a link end as the turn wants it, and return when it has let go of the public port."""
        turn = self._turn
        self._standing.away()
        if self._wanted.is_set():
            self._standing.connecting(turn.why)
        farewell = Farewell(link, doorway, self._keeper.parked, seconds=turn.drain_seconds)
        ending = self._farewells.begin(farewell, tasks)
        if turn.why is None:
            # Whoever closes it waits until all is closed.
            await asyncio.wait({ending})
        else:
            # It may be the same port that is asked for next.
            await farewell.has_left_port.wait()

    # --- what is noticed on the side

    def _link_ended(self) -> None:
        self._trips.seconds = None
        self._outside.link_ended()

    def _woke(self, seconds: float) -> None:
        self._patience.forget()
        self._doubt(WAKE_SECONDS)

    def _network_changed(self) -> None:
        self._doubt(CHANGE_SECONDS)

    def _doubt(self, seconds: float) -> None:
        """Prove a link that stands; where none does, try at once, unless only a person can help."""
        if self._keeper.link is not None:
            self._trips.doubt(seconds)
        elif self._standing.state == "backoff":
            self._nudge.set()
