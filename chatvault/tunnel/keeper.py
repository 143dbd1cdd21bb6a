"""One link after another to the relay of a plan: each made, held until it ends, and replaced in good time."""

import asyncio
from collections.abc import Callable

from chatvault.tunnel.farewell import Farewell
from chatvault.tunnel.faults import ERRORS, NO_TLS, Contended, Fault, explain
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.patience import Patience
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.standing import Standing
from chatvault.tunnel.takeover import Parked
from chatvault.tunnel.tools import Tools


class Keeper:
    """Keep a link up while `keep` runs, and have `standing` tell how that goes.

    `is_up` is set while `link` is one; `nudge` has the next attempt made at once; `on_end` is called when a
    link has ended. Where `keep` is cancelled, its link is cut, or put into `leaving` if `drain_seconds` says
    how long the answers through it may take.
    """

    def __init__(
        self,
        make_doorway: Callable[[Relay, Traffic], Doorway],
        public_end: PublicEnd,
        standing: Standing,
        *,
        tools: Tools,
        on_end: Callable[[], None],
    ) -> None:
        self._make_doorway = make_doorway
        self._public_end = public_end
        self._standing = standing
        self._tools = tools
        self._on_end = on_end
        self.traffic = Traffic()
        self.patience = Patience(tools.chance)
        self.parked = Parked()
        self.nudge, self.is_up = asyncio.Event(), asyncio.Event()
        self.link: Link | None = None
        self.drain_seconds: float | None = None
        self.leaving: Farewell | None = None
        self._is_silent = self._is_contended = False

    async def keep(self, plan: Callable[[], Plan], why: Fault | None) -> None:
        """Keep a link to the relay of `plan` up, until cancelled; `why` says what it begins with."""
        while True:
            self.nudge.clear()
            fault = await self._one_link(plan(), why)
            why = None
            away_seconds = self._standing.note_fault(fault)
            await self._rest(fault, away_seconds)

    def may_follow(self, plan: Plan) -> bool:
        """Whether a link may be made for `plan`: without TLS on somebody's word alone."""
        return plan.allow_plain_http or self._public_end.is_tls

    def lose(self, link: Link) -> None:
        """End a link that was doubted and did not answer."""
        if link is self.link:
            self._is_silent = True
            link.drop()

    async def _one_link(self, plan: Plan, why: Fault | None) -> Fault:
        """Make a link and hold it until it ends; return why it ended, or could not be made."""
        self._standing.enter("connecting", why)
        self._is_silent = self._is_contended = False
        if not self.may_follow(plan):
            return NO_TLS
        relay = plan.relay
        doorway = self._make_doorway(relay, self.traffic)
        link: Link | None = None
        try:
            link = await connect(relay)
            await link.listen(
                relay,
                doorway,
                parked=self.parked,
                is_port_ours=why is not None,
                may_take_over=lambda: self._public_end.check_take_over(plan),
            )
        except ERRORS as exc:
            if link is not None:
                link.abort()
            self._is_contended = isinstance(exc, Contended)
            self.patience.note_failure()
            return explain(exc, relay=relay.name)
        except BaseException:
            if link is not None:
                link.abort()
            raise
        return await self._hold(link, doorway, relay)

    async def _hold(self, link: Link, doorway: Doorway, relay: Relay) -> Fault:
        began = self._tools.clock()
        self.link = link
        self.is_up.set()
        self._standing.enter_up()
        try:
            await link.wait_closed()
        except BaseException:
            await self._leave(link, doorway)
            raise
        finally:
            self.link = None
            self.is_up.clear()
            self._on_end()
        fault = explain(link.end or ConnectionResetError("closed"), relay=relay.name)
        if self._is_silent:
            fault = Fault("silent", f"{relay.name} was not there after a sleep or a move")
        link.release(self.parked if fault.kind == "silent" else None)
        self.patience.note_loss(self._tools.clock() - began)
        return fault

    async def _leave(self, link: Link, doorway: Doorway) -> None:
        if self.drain_seconds is None:
            await link.close()
        else:
            self._standing.lost_at = self._tools.clock()
            self.leaving = Farewell(link, doorway, self.parked, seconds=self.drain_seconds)

    async def _rest(self, fault: Fault, away_seconds: float) -> None:
        """Wait as long as `fault` asks for, or until something speaks for trying at once."""
        if fault.is_permanent:
            self._standing.enter("failed", fault)
            await self.nudge.wait()
            return
        pause = self.patience.pause(fault, outage_seconds=away_seconds, is_contended=self._is_contended)
        self._standing.retry_at = self._tools.clock() + pause
        self._standing.enter("contended" if self._is_contended else "backoff", fault)
        try:
            async with asyncio.timeout(pause):
                await self.nudge.wait()
        except TimeoutError:
            pass
        finally:
            self._standing.retry_at = None
