"""How far a request has come: what its row is written from, however it ends."""

from dataclasses import dataclass, field

from chatvault.core.chat import ChatRequest
from chatvault.core.ledger import Attempt
from chatvault.core.metering import Meter
from chatvault.core.usage import Usage
from chatvault.gateway.contents import Transcript
from chatvault.gateway.planning import Plan, PricedRoute


@dataclass(slots=True)
class Progress:
    """How far a request has come: what its row is written from, however it ends."""

    request: ChatRequest | None = None
    plan: Plan | None = None
    at: PricedRoute | None = None
    was_sent: bool = False
    has_begun: bool = False
    meter: Meter | None = None
    usage: Usage | None = None
    ttft_ms: int | None = None
    text_ms: int | None = None
    """When the first text came, in milliseconds from the start; thinking that isn't shown lies before it."""
    heard_at: float | None = None
    """When the last events came, in monotonic seconds."""
    behind_seconds: float = 0.0
    """How long the client kept us from listening: a provider writes on all the while."""
    hold_picousd: int = 0
    """What the hold was raised to, since routes that failed may bill all the same; 0: it is the plan's."""
    has_lost: bool = False
    """Whether a route that failed may bill all the same: `lost_picousd` at most."""
    lost_picousd: int = 0
    has_lost_unpriced: bool = False
    """Whether one of them has no price."""
    upstream_request_id: str | None = None
    attempts: list[Attempt] = field(default_factory=list)
    is_unheard: bool = False
    is_settled: bool = False
    transcript: Transcript | None = None
    is_told: bool = False
    """Whether the client's headers say how much of its limits is left."""

    def expect_bill(self) -> None:
        """Note that the provider had the request and may bill it, though its answer ends here.

        Of a stream it is known what came; of a whole answer nothing is, so that it may cost all it can.
        """
        if self.request is None or self.usage is not None or self.meter is not None:
            return
        if self.request.stream:
            self.meter = Meter()
        else:
            self.is_unheard = True

    def leave_route(self, *, lost_picousd: int, is_lost: bool) -> None:
        """Leave a route that failed: what was heard of it is no part of the next one's answer.

        `is_lost` says that it may bill the request, `lost_picousd` what it and those before it may.
        """
        self.was_sent = False
        self.meter = self.upstream_request_id = None
        self.lost_picousd = lost_picousd
        if is_lost:
            self.has_lost = True
            self.has_lost_unpriced |= self.at is not None and self.at.card is None

    @property
    def upstream_id(self) -> str | None:
        """The provider's own id of the request, as far as it was heard."""
        return self.upstream_request_id or (
            self.meter.upstream_request_id if self.meter is not None else None
        )
