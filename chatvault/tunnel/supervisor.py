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

from chatvault.tunnel.farewell import Farewells
from chatvault.tunnel.faults import CHANGED, Fault
from chatvault.tunnel.keeper import Keeper
from chatvault.tunnel.listener import Doorway, Traffic
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
        self._keeper = Keeper(make_doorway, public_end, self._standing, tools=tools, on_end=self._link_ended)
        # `_turn`: the link that is kept is not the one that is wanted any more.
        self._wanted, self._turn = asyncio.Event(), asyncio.Event()
        self._farewells = Farewells()
        self._trips = RoundTrips(self._keeper.is_up, lambda: self._keeper.link, self._keeper.lose)
        self._outside = OutsideWatch(self._keeper.is_up, self.look, on_outside)

    # --- what is wanted

    @property
    def is_wanted(self) -> bool:
        """Whether the tunnel is to be up."""
        return self._wanted.is_set()

    def up(self) -> None:
        """Want the tunnel; where it is wanted already, try at once."""
        self._keeper.patience.forget()
        self._standing.settled.clear()
        if self._keeper.is_up.is_set() and not self._turn.is_set():
            self._standing.settled.set()
        self._wanted.set()
        self._keeper.nudge.set()

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
        self._keeper.patience.forget()
        if plan.relay != before.relay or not self._keeper.may_follow(plan):
            self._part(drain_seconds)
        elif self._keeper.link is None:
            # What stood in the way may be gone.
            self._keeper.nudge.set()

    def _part(self, drain_seconds: float | None) -> None:
        self._keeper.drain_seconds = drain_seconds
        self._turn.set()

    def stop_accepting(self) -> None:
        """Have the relay close the public port; connections there are go on."""
        if self._keeper.link is not None:
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
            self._keeper.parked.close()
            if (leaving := self._keeper.leaving) is not None:
                self._keeper.leaving = None
                leaving.end()

    async def _follow(self, tasks: asyncio.TaskGroup) -> None:
        """Keep up what is wanted, and after each turn what is wanted then."""
        keeper = self._keeper
        why: Fault | None = None
        while True:
            while not self._wanted.is_set():
                await self._wanted.wait()
                why = None
            self._turn.clear()
            keeper.drain_seconds = None
            keeping = tasks.create_task(keeper.keep(lambda: self._plan, why), name="tunnel: link")
            try:
                await self._turn.wait()
            finally:
                keeping.cancel()
                await asyncio.wait({keeping})
            # A link that is cut is the user's word, and needs no reason.
            why = None if keeper.drain_seconds is None else CHANGED
            if (leaving := keeper.leaving) is not None:
                keeper.leaving = None
                if self._wanted.is_set():
                    self._standing.enter("connecting", why)
                self._farewells.begin(leaving, tasks)
                # It may be the same port that is asked for next.
                await leaving.has_left_port.wait()
            if not self._wanted.is_set():
                self._standing.lost_at = None
                keeper.parked.close()
                self._standing.enter("off", why)

    # --- what is noticed on the side

    def _link_ended(self) -> None:
        self._trips.seconds = None
        self._outside.link_ended()

    def _woke(self, seconds: float) -> None:
        self._keeper.patience.forget()
        self._doubt(WAKE_SECONDS)

    def _network_changed(self) -> None:
        self._doubt(CHANGE_SECONDS)

    def _doubt(self, seconds: float) -> None:
        """Prove a link that stands; where none does, try at once, unless only a person can help."""
        if self._keeper.link is not None:
            self._trips.doubt(seconds)
        elif self._standing.state == "backoff":
            self._keeper.nudge.set()
