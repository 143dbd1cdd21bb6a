"""One link at a time: made, and held until it ends by itself or is to end."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from chatvault.tunnel.farewell import Farewells
from chatvault.tunnel.faults import ERRORS, NO_TLS, explain
from chatvault.tunnel.link import Link, connect
from chatvault.tunnel.link_end import LinkEnd, Lost, Parted
from chatvault.tunnel.listener import Doorway, Traffic
from chatvault.tunnel.public_end import PublicEnd
from chatvault.tunnel.relay import Plan, Relay
from chatvault.tunnel.takeover import Parked
from chatvault.tunnel.tools import Tools

_log = logging.getLogger("chatvault.tunnel")
_Result = TypeVar("_Result")


class Keeper:
    """Keep a link. `is_up` is set while `link` is held, the one there is; `on_up` and `on_end` hear of it."""

    def __init__(
        self,
        make_doorway: Callable[[Relay, Traffic], Doorway],
        public_end: PublicEnd,
        farewells: Farewells,
        *,
        tools: Tools,
        on_up: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._make_doorway = make_doorway
        self._public_end = public_end
        self._farewells = farewells
        self._tools = tools
        self._on_up = on_up
        self._on_end = on_end
        self.traffic = Traffic()
        self.parked = Parked()
        self.is_up = asyncio.Event()
        self.link: Link | None = None

    def may_follow(self, plan: Plan) -> bool:
        """Whether a link may be made for `plan`: without TLS on somebody's word alone."""
        return plan.allow_plain_http or self._public_end.is_tls

    async def one_link(self, plan: Plan, turn: asyncio.Event, *, is_port_ours: bool) -> LinkEnd:
        """Make a link and hold it, until it ends or `turn` is set; return how it ended, or why there is none.

        `is_port_ours` says that an older link of this daemon's may have had the port a moment ago.
        """
        if not self.may_follow(plan):
            return Lost(NO_TLS)
        doorway = self._make_doorway(plan.relay, self.traffic)
        made = await _unless(turn, self._make(plan, doorway, is_port_ours=is_port_ours))
        if isinstance(made, Link):
            return await self._hold(made, doorway, plan.relay, turn=turn)
        return made or Parted()

    async def _make(self, plan: Plan, doorway: Doorway, *, is_port_ours: bool) -> Link | Lost:
        try:
            link = await connect(plan.relay)
            try:
                await link.listen(
                    doorway,
                    parked=self.parked,
                    is_port_ours=is_port_ours,
                    may_take_over=lambda: self._public_end.check_take_over(
                        plan, are_answers_running=self._farewells.are_said
                    ),
                    on_taken_over=self._public_end.taken_over,
                )
            except BaseException:
                link.abort()
                raise
        except Exception as exc:
            # asyncssh hands on whatever its parsers trip over: a relay ends no more than an attempt by it.
            if not isinstance(exc, ERRORS):
                _log.error("an attempt at a link failed inside", exc_info=exc)
            return Lost(explain(exc, relay=plan.relay.name))
        # Before this task ends: whoever waits for it may be cancelled in the same moment.
        self.link = link
        return link

    async def _hold(self, link: Link, doorway: Doorway, relay: Relay, *, turn: asyncio.Event) -> LinkEnd:
        began = self._tools.clock()
        self.is_up.set()
        self._on_up()
        try:
            why = await _unless(turn, link.wait_closed())
        finally:
            self.is_up.clear()
            self._on_end()
        self.link = None
        if why is None:
            return Parted((link, doorway))
        fault = explain(why, relay=relay.name)
        link.release(self.parked if fault.kind == "silent" else None)
        return Lost(fault, up_seconds=self._tools.clock() - began)

    async def close(self) -> None:
        """End the link there is, politely, and let go of what is parked."""
        self.parked.close()
        link, self.link = self.link, None
        if link is not None:
            await link.close()


async def _unless(turn: asyncio.Event, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """Return what comes of `work`, None where `turn` is set first: then it is cancelled."""
    loop = asyncio.get_running_loop()
    working = loop.create_task(work, name="tunnel: link")
    turning = loop.create_task(turn.wait(), name="tunnel: turn")
    try:
        await asyncio.wait({working, turning}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        turning.cancel()
        await asyncio.wait({working, turning})
    return None if working.cancelled() else working.result()
