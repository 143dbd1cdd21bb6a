"""What a request costs: what its provider counted, and a bound where nobody could count."""

from collections.abc import Callable

from chatvault.core.estimate import input_estimate
from chatvault.core.ledger import FREE, REFUSED_COST, UNPRICED, Cost, CostBasis, Status
from chatvault.core.metering import Meter
from chatvault.core.pricing import cost
from chatvault.core.usage import NO_USAGE, Usage, UsageBasis
from chatvault.gateway.call import Call
from chatvault.gateway.planning import PricedRoute
from chatvault.gateway.price_list import PriceList
from chatvault.gateway.progress import Progress

_MOST_PICOUSD = 2**63 - 1
# No hosted model writes faster. What a model writes unseen is bounded by the time it took.
_FASTEST_TOKENS_A_SECOND = 4000
_FASTEST_BY_KIND = {"anthropic": 1000, "deepseek": 1000}


class Billing:
    """Reckon what requests cost. `now_ms` is the epoch, `clock` is monotonic, in seconds."""

    def __init__(self, prices: PriceList, *, now_ms: Callable[[], int], clock: Callable[[], float]) -> None:
        self._prices = prices
        self._now_ms = now_ms
        self._clock = clock

    def usage_and_cost(
        self, call: Call, progress: Progress, status: Status, finished_ms: int
    ) -> tuple[Usage, Cost]:
        """Return what a request that ended as `status`, at `finished_ms`, has used and what that costs."""
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


def _with_lost(price: Cost, progress: Progress) -> Cost:
    """Return the cost of all routes: of the one that answered, and of those that failed and may bill."""
    if price.picousd is None:
        return price
    picousd = price.picousd + progress.lost_picousd
    if not progress.has_lost_unpriced:
        return Cost(picousd, CostBasis.UPPER_BOUND, price.rate_card_id)
    return Cost(picousd, CostBasis.ESTIMATED, price.rate_card_id) if picousd else UNPRICED
