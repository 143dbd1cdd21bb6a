"""The tunnel's state as others see it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatvault.tunnel.probe import Outside

State: TypeAlias = Literal["off", "connecting", "up", "backoff", "contended", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelStatus:
    """How the tunnel is, why, and what to do.

    `since_ms` is when the state began; `round_trip_seconds` is the time to the relay and back;
    `last_recovery_seconds` is how long the last outage lasted.
    """

    state: State
    relay: str
    public_url: str
    since_ms: int
    reason: str | None = None
    hint: str | None = None
    reconnects: int = 0
    last_error: str | None = None
    retry_in_seconds: float | None = None
    connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    round_trip_seconds: float | None = None
    last_recovery_seconds: float | None = None
    outside: Outside | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A new state, why it came, and how long the link was away (None where it was not)."""

    state: State
    reason: str | None
    hint: str | None
    outage_seconds: float | None = None
