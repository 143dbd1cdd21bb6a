"""How the tunnel stands: its state and why, since when, and how often it was made."""

import asyncio
from collections.abc import Callable

from chatvault.tunnel.faults import Fault
from chatvault.tunnel.listener import Traffic
from chatvault.tunnel.probe import Outside
from chatvault.tunnel.relay import Plan
from chatvault.tunnel.status import Change, State, TunnelStatus
from chatvault.tunnel.tools import Tools


class Standing:
    """Keep the tunnel's state, and tell `on_change` of each new one.

    `settled` is set once an attempt has come to something, or nobody wants one.
    """

    def __init__(self, tools: Tools, on_change: Callable[[Change], None]) -> None:
        self._tools = tools
        self._on_change = on_change
        self.settled = asyncio.Event()
        self.state: State = "off"
        # In seconds of the tools' clock: since when the link has been away, None where it is there or not
        # wanted, and when the next attempt begins.
        self._away_since: float | None = None
        self._retry_at: float | None = None
        self._reason: str | None = None
        self._hint: str | None = None
        self._since_ms = tools.now_ms()
        self._last_error: str | None = None
        self._links = 0
        self._recovery: float | None = None

    @property
    def away_seconds(self) -> float:
        """For how long there has been no link."""
        return 0.0 if self._away_since is None else self._tools.clock() - self._away_since

    def off(self, why: Fault | None) -> None:
        """Take note that no link is wanted."""
        self._away_since = None
        self._enter("off", why)

    def connecting(self, why: Fault | None) -> None:
        """Take note that a link is to be made; `why` says so where it was a turn."""
        self._enter("connecting", why)

    def up(self) -> None:
        """Take note that a link is up, and of how long it was away."""
        outage = None if self._away_since is None else self.away_seconds
        self._away_since = None
        self._links += 1
        self._recovery = self._recovery if outage is None else outage
        self._enter("up", None, outage)

    def away(self, fault: Fault | None = None) -> None:
        """Take note that there is no link, and of the fault that this is by."""
        if fault is not None:
            self._last_error = fault.reason
        if self._away_since is None:
            self._away_since = self._tools.clock()

    def waits(self, fault: Fault, seconds: float | None) -> None:
        """Take note that the next attempt is so far away, or, for None, that only a person can help."""
        state: State = "backoff"
        if seconds is None:
            state = "failed"
        elif fault.kind == "contended":
            state = "contended"
        self._enter(state, fault, retry_seconds=seconds)

    def status(
        self, plan: Plan, traffic: Traffic, *, round_trip_seconds: float | None, outside: Outside | None
    ) -> TunnelStatus:
        """Return how things are."""
        retry_in = None if self._retry_at is None else max(0.0, self._retry_at - self._tools.clock())
        return TunnelStatus(
            state=self.state,
            relay=f"{plan.relay.user}@{plan.relay.name}",
            public_url=plan.public_url,
            since_ms=self._since_ms,
            reason=self._reason,
            hint=self._hint,
            reconnects=max(0, self._links - 1),
            last_error=self._last_error,
            retry_in_seconds=None if retry_in is None else round(retry_in, 2),
            connections=len(traffic.open),
            bytes_in=traffic.bytes_in,
            bytes_out=traffic.bytes_out,
            round_trip_seconds=round_trip_seconds,
            last_recovery_seconds=self._recovery,
            outside=outside,
        )

    def _enter(
        self,
        state: State,
        why: Fault | None,
        outage: float | None = None,
        *,
        retry_seconds: float | None = None,
    ) -> None:
        self._retry_at = None if retry_seconds is None else self._tools.clock() + retry_seconds
        reason, hint = (None, None) if why is None else (why.reason, why.hint)
        if state != self.state:
            self._since_ms = self._tools.now_ms()
        is_news = (state, reason) != (self.state, self._reason)
        self.state, self._reason, self._hint = state, reason, hint
        if state != "connecting":
            self.settled.set()
        if is_news:
            self._on_change(Change(state, reason, hint, outage))
