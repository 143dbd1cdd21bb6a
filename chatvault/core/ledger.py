"""What is written down of a request: the hold before it is sent on, the ledger row once it has ended.

The fields of `LedgerRow` are the ledger's columns, in its order. Epochs are milliseconds UTC,
money is whole picodollars, unknown is None.
"""

from dataclasses import dataclass
from enum import StrEnum

from chatvault.core.usage import NO_USAGE, Usage, UsageBasis
from chatvault.core.value import quickly_made


class Status(StrEnum):
    """How a request ended."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"


class CostBasis(StrEnum):
    """What a cost rests on."""

    EXACT = "exact"
    UPPER_BOUND = "upper_bound"
    ESTIMATED = "estimated"
    UNPRICED = "unpriced"
    LOCAL = "local"


@quickly_made
@dataclass(frozen=True, slots=True)
class Cost:
    """What a request did cost; `picousd` is None exactly when the basis is `unpriced`."""

    picousd: int | None
    basis: CostBasis
    rate_card_id: str | None = None

    def __post_init__(self) -> None:
        if (self.picousd is None) != (self.basis is CostBasis.UNPRICED):
            raise ValueError(f"cost {self.picousd} does not go with the basis {self.basis}")


FREE = Cost(0, CostBasis.LOCAL)
UNPRICED = Cost(None, CostBasis.UNPRICED)
REFUSED_COST = Cost(0, CostBasis.EXACT)


@quickly_made
@dataclass(frozen=True, slots=True)
class Hold:
    """A running request, and the most it may cost: enough to settle it after a crash that left nothing else.

    `ceiling_picousd` is None where the model has no price, 0 where it runs at home.
    """

    id: str
    started_at: int
    user_id: str
    token_id: str
    client_ip: str
    via: str
    client: str
    endpoint: str
    model_name: str
    provider: str
    upstream_model: str
    stream: bool
    ceiling_picousd: int | None
    is_local: bool
    rate_card_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One route that was tried: the audit body lists them where there was more than one."""

    route: str
    error_code: str | None
    upstream_status: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One settled request."""

    id: str
    started_at: int
    finished_at: int
    user_id: str
    token_id: str
    client_ip: str
    via: str
    client: str
    endpoint: str
    model_name: str
    provider: str | None
    upstream_model: str | None
    stream: bool
    status: Status
    http_status: int
    error_code: str | None
    input_tokens: int | None
    cached_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    usage_basis: UsageBasis
    cost_picousd: int | None
    cost_basis: CostBasis
    rate_card_id: str | None
    ttft_ms: int | None
    duration_ms: int | None
    upstream_request_id: str | None


def settled(
    hold: Hold,
    *,
    finished_at: int,
    status: Status,
    http_status: int,
    usage: Usage,
    cost: Cost,
    error_code: str | None = None,
    provider: str | None = None,
    upstream_model: str | None = None,
    ttft_ms: int | None = None,
    duration_ms: int | None = None,
    upstream_request_id: str | None = None,
) -> LedgerRow:
    """Return the row that replaces `hold`.

    `provider` and `upstream_model` name the route that answered, if another.
    """
    return LedgerRow(
        hold.id,
        hold.started_at,
        finished_at,
        hold.user_id,
        hold.token_id,
        hold.client_ip,
        hold.via,
        hold.client,
        hold.endpoint,
        hold.model_name,
        provider or hold.provider,
        upstream_model or hold.upstream_model,
        hold.stream,
        status,
        http_status,
        error_code,
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.basis,
        cost.picousd,
        cost.basis,
        cost.rate_card_id,
        ttft_ms,
        duration_ms,
        upstream_request_id,
    )


def interrupted(hold: Hold, *, finished_at: int) -> LedgerRow:
    """Return the row of a request whose process died: at its ceiling, since nobody knows how far it came."""
    if hold.is_local:
        cost = FREE
    elif hold.ceiling_picousd is None:
        cost = UNPRICED
    else:
        # Holds aren't in the chain: one below zero was never ChatVault's, and must not pay anybody's budget.
        cost = Cost(max(hold.ceiling_picousd, 0), CostBasis.UPPER_BOUND, hold.rate_card_id)
    return settled(
        hold,
        finished_at=finished_at,
        status=Status.INTERRUPTED,
        http_status=500,
        usage=NO_USAGE,
        cost=cost,
        error_code="interrupted",
    )
