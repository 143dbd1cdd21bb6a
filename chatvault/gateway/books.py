"""How a request is written down: its hold, and the row it ends as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chatvault.core.chat import ChatRequest
from chatvault.core.estimate import input_estimate
from chatvault.core.ledger import (
    FREE,
    REFUSED_COST,
    UNPRICED,
    Attempt,
    Cost,
    CostBasis,
    LedgerRow,
    Status,
    settled,
)
from chatvault.core.metering import Meter
from chatvault.core.pricing import cost
from chatvault.core.usage import NO_USAGE, Usage, UsageBasis
from chatvault.gateway.auth import PROBE_ID
from chatvault.gateway.call import Call
from chatvault.gateway.contents import Contents, Transcript
from chatvault.gateway.planning import Plan, PricedRoute
from chatvault.gateway.price_list import PriceList
from chatvault.gateway.request_log import log_request
from chatvault.store.writer import Store

_MOST_PICOUSD = 2**63 - 1
# No hosted model writes faster. What a model writes unseen is bounded by the time it took.
_FASTEST_TOKENS_A_SECOND = 4000
_FASTEST_BY_KIND = {"anthropic": 1000, "deepseek": 1000}


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


class Books:
    """Write requests down. Settling never blocks: the writer thread takes it from there."""

    def __init__(
        self,
        store: Store,
        prices: PriceList,
        *,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
        contents: Contents | None = None,
    ) -> None:
        self._contents = contents
        self._store = store
        self._prices = prices
        self._now_ms = now_ms
        self._clock = clock

    def open(self, call: Call, raw: bytes) -> Progress:
        """Return the progress of a request that begins; it listens where its content is to be kept."""
        contents = self._contents
        return Progress(transcript=None if contents is None else contents.begin(call.token, raw))

    async def hold(self, call: Call, plan: Plan) -> None:
        """Commit the hold: nothing is sent on before this returns. Raises StoreError."""
        if call.token.id != PROBE_ID:
            await self._store.hold(plan.hold)

    async def raise_hold(self, call: Call, progress: Progress, picousd: int) -> None:
        """Commit a hold of `picousd`, if that is more than is committed: the next route isn't asked before.

        A hold without a price stays without. Raises StoreError.
        """
        assert progress.plan is not None
        ceiling = progress.plan.hold.ceiling_picousd
        if ceiling is None or call.token.id == PROBE_ID or picousd <= max(ceiling, progress.hold_picousd):
            return
        await self._store.submit(lambda tx: tx.raise_hold(call.id, picousd))
        progress.hold_picousd = picousd

    def refuse(self, call: Call, *, http_status: int, error_code: str | None) -> None:
        """Write down a request that was never sent on and costs nothing."""
        self._put(call, _refused_row(call, self._now_ms(), http_status, error_code), (), durable=False)

    def settle(
        self,
        call: Call,
        progress: Progress,
        *,
        status: Status,
        http_status: int,
        error_code: str | None = None,
    ) -> None:
        """Write down how a request ended, once; a request that wasn't planned yet is a refused one."""
        if progress.is_settled:
            return
        progress.is_settled = True
        self._write(call, progress, status, http_status, error_code)
        if progress.transcript is not None and self._contents is not None:
            self._contents.keep(call.id, progress.transcript, status)

    def _write(
        self, call: Call, progress: Progress, status: Status, http_status: int, error_code: str | None
    ) -> None:
        if progress.plan is None or progress.at is None:
            self.refuse(call, http_status=http_status, error_code=error_code)
            return
        finished_ms = self._now_ms()
        usage, price = self._usage_and_cost(call, progress, status, finished_ms)
        row = settled(
            progress.plan.hold,
            finished_at=finished_ms,
            status=status,
            http_status=http_status,
            usage=usage,
            cost=price,
            error_code=error_code,
            provider=progress.at.route.provider,
            upstream_model=progress.at.route.model,
            ttft_ms=progress.ttft_ms,
            duration_ms=int((self._clock() - call.started) * 1000),
            upstream_request_id=progress.upstream_id,
        )
        attempts = progress.attempts
        if attempts and progress.has_begun:
            # After failures, the route that did answer stands last.
            attempts = [*attempts, Attempt(progress.at.route.name, error_code)]
        self._put(call, row, attempts, durable=not progress.plan.hold.is_local)

    def _usage_and_cost(
        self, call: Call, progress: Progress, status: Status, finished_ms: int
    ) -> tuple[Usage, Cost]:
        at = progress.at
        assert at is not None
        if status is Status.REFUSED:
            return NO_USAGE, REFUSED_COST
        usage = progress.usage
        if usage is None and progress.meter is not None and progress.request is not None:
            usage = progress.meter.final_usage(input_estimate=input_estimate(progress.request))
        if usage is None and progress.is_unheard and progress.request is not None:
            usage = Usage(input_tokens=input_estimate(progress.request), basis=UsageBasis.ESTIMATED)
        if usage is None:
            usage = NO_USAGE
        price = self._price(call, progress, usage, finished_ms, is_whole=status is Status.OK)
        return usage, _with_lost(price, progress) if progress.has_lost else price

    def _price(
        self, call: Call, progress: Progress, usage: Usage, finished_ms: int, *, is_whole: bool
    ) -> Cost:
        at = progress.at
        assert at is not None
        if at.route.is_local:
            return FREE
        if usage is NO_USAGE:
            # Nothing came back that anybody could bill: a provider's refusal, or no connection at all.
            return REFUSED_COST
        if at.card is None:
            return UNPRICED
        if usage.basis is UsageBasis.ESTIMATED and not is_whole and not progress.is_unheard:
            most = self._most(call, progress, at)
            return Cost(most, CostBasis.UPPER_BOUND, at.card.id)
        provider = at.provider
        price = cost(
            at.card,
            usage,
            started_ms=call.started_ms,
            finished_ms=finished_ms,
            lookup=lambda model: self._prices.find(
                provider.name, provider.kind, model, at_ms=call.started_ms
            ),
            ceiling_picousd=at.ceiling_picousd,
        )
        if price.picousd is not None and price.picousd > _MOST_PICOUSD:
            # No call costs nine million dollars: a provider's count is out of its mind.
            most = min(at.ceiling_picousd or _MOST_PICOUSD, _MOST_PICOUSD)
            price = Cost(most, CostBasis.UPPER_BOUND, at.card.id)
        return price

    def may_bill(self, call: Call, progress: Progress) -> int:
        """Return the most that the route which has just failed may bill, 0 where its price isn't known."""
        at = progress.at
        assert at is not None
        if at.route.is_local or at.card is None:
            return 0
        is_stream = progress.request is not None and progress.request.stream
        return self._most(call, progress, at) if is_stream else at.ceiling_picousd or 0

    def _most(self, call: Call, progress: Progress, at: PricedRoute) -> int:
        """Return the most that a stream may be billed which was cut before its provider counted it.

        A guess at what was seen won't do: a budget must not be overshot by streams that are cut. All that is
        not known is taken at its bound, and what may have been thought unseen, or written while a client took
        its time to read, at a speed nobody has.
        """
        meter = progress.meter or Meter()
        known = meter.usage or Usage()
        now = self._clock()
        hidden_ms = int((now - call.started) * 1000)
        if progress.text_ms is not None and progress.heard_at is not None:
            behind_ms = int((now - progress.heard_at + progress.behind_seconds) * 1000) + 1
            hidden_ms = min(hidden_ms, progress.text_ms + behind_ms)
        seen = max(meter.deltas, meter.output_bytes)
        fastest = _FASTEST_BY_KIND.get(at.provider.kind, _FASTEST_TOKENS_A_SECOND)
        unseen = -(-hidden_ms * fastest // 1000)
        output = min(seen + unseen, at.output_tokens or seen + unseen)
        bound = Usage(
            input_tokens=known.input_tokens if known.input_tokens is not None else at.input_tokens,
            cached_tokens=known.cached_tokens,
            cache_write_tokens=known.cache_write_tokens,
            cache_write_1h_tokens=known.cache_write_1h_tokens,
            output_tokens=max(output, known.output_tokens or 0),
            web_searches=known.web_searches,
            modifiers=known.modifiers,
        )
        price = cost(at.card, bound, started_ms=call.started_ms, finished_ms=self._now_ms())
        ceiling = at.ceiling_picousd
        most = ceiling if price.picousd is None else price.picousd
        return min(most or 0, _MOST_PICOUSD if ceiling is None else ceiling)

    def _put(self, call: Call, row: LedgerRow, attempts: Sequence[Attempt], *, durable: bool) -> None:
        if call.ticket is not None:
            call.ticket.settle(row.cost_picousd, (row.input_tokens or 0) + (row.output_tokens or 0))
        if call.token.id == PROBE_ID:
            return
        self._store.settle(row, attempts=attempts, durable=durable)
        log_request(row, token_name=call.token.name)


def _with_lost(price: Cost, progress: Progress) -> Cost:
    """Return the cost of all routes: of the one that answered, and of those that failed and may bill."""
    if price.picousd is None:
        return price
    picousd = price.picousd + progress.lost_picousd
    if not progress.has_lost_unpriced:
        return Cost(picousd, CostBasis.UPPER_BOUND, price.rate_card_id)
    return Cost(picousd, CostBasis.ESTIMATED, price.rate_card_id) if picousd else UNPRICED


def _refused_row(call: Call, now_ms: int, http_status: int, error_code: str | None) -> LedgerRow:
    return LedgerRow(
        id=call.id,
        started_at=call.started_ms,
        finished_at=now_ms,
        user_id=call.token.user,
        token_id=call.token.id,
        client_ip=call.client_ip,
        via=call.via,
        client=call.client,
        endpoint=call.endpoint,
        model_name=call.model_name,
        provider=None,
        upstream_model=None,
        stream=call.is_stream,
        status=Status.REFUSED,
        http_status=http_status,
        error_code=error_code,
        input_tokens=None,
        cached_tokens=None,
        cache_write_tokens=None,
        output_tokens=None,
        reasoning_tokens=None,
        usage_basis=NO_USAGE.basis,
        cost_picousd=REFUSED_COST.picousd,
        cost_basis=REFUSED_COST.basis,
        rate_card_id=None,
        ttft_ms=None,
        duration_ms=now_ms - call.started_ms,
        upstream_request_id=None,
    )
