"""The cost of a call, and the most it can cost: whole picodollars, exact or said not to be.

A request is priced as its provider bills it. Its whole prompt, cached part included, chooses the tier of all
its tokens. DeepSeek's peak price holds by the clock; a request that touches both sides of a boundary costs
the higher price, as an upper bound. Modifiers multiply token prices by exact ratios, and only their last
result is rounded to whole picodollars, half up (no list price there is needs it). Web searches are billed
beside the tokens. A call that runs in several passes is the sum of its passes, each with its own model and
tier.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from chatvault.core.ledger import UNPRICED, Cost, CostBasis
from chatvault.core.peak_hours import Peak, peak_over
from chatvault.core.price_book import FallbackPrice, Override, PriceBook, override
from chatvault.core.rate_card import Modifier, Prices, RateCard, Tier
from chatvault.core.usage import Usage, UsageBasis

__all__ = [
    "FallbackPrice",
    "Modifier",
    "Override",
    "PriceBook",
    "Prices",
    "RateCard",
    "Tier",
    "ceiling",
    "cost",
    "override",
]

# No provider keeps an answer open for a day: a call can't reach hours further off than this.
_LONGEST_CALL_MS = 86_400_000

# The worst of these is the basis of a sum.
_EXACT, _UPPER_BOUND, _ESTIMATED = range(3)
_BASES = (CostBasis.EXACT, CostBasis.UPPER_BOUND, CostBasis.ESTIMATED)

# Values of a modifier's field that change no price.
_NEUTRAL = frozenset({"standard", "global", "not_available", "default", "auto"})


def cost(
    card: RateCard | None,
    usage: Usage,
    *,
    started_ms: int,
    finished_ms: int,
    lookup: Callable[[str], RateCard | None] | None = None,
    ceiling_picousd: int | None = None,
) -> Cost:
    """Return what `usage` costs by `card`; epochs in milliseconds, taken from the request's start to its end.

    A usage whose basis is `none` took nothing and costs nothing. Without a card the cost is unpriced. Where
    the provider left a count open, nobody can tell: the cost is `ceiling_picousd` as an upper bound, and
    unpriced where that isn't given either; never a sum of what happens to be known. `lookup` finds the card
    of a pass that another model ran; a pass without a price leaves the whole call unpriced.
    """
    if usage.basis is UsageBasis.NONE:
        return Cost(0, CostBasis.EXACT, None if card is None else card.id)
    if card is None:
        return UNPRICED
    if usage.passes:
        priced = _passes(card, usage, started_ms, finished_ms, lookup)
    else:
        priced = _tokens(card, usage, usage.modifiers, started_ms, finished_ms)
    if priced is None:
        return UNPRICED
    amount, rank = priced
    if amount is None:
        if ceiling_picousd is None:
            return Cost(None, CostBasis.UNPRICED, card.id)
        return Cost(ceiling_picousd, CostBasis.UPPER_BOUND, card.id)
    if usage.web_searches:
        if card.web_search_picousd is None:
            rank = _ESTIMATED
        else:
            amount += usage.web_searches * card.web_search_picousd
    if usage.basis is UsageBasis.ESTIMATED:
        rank = _ESTIMATED
    return Cost(amount, _BASES[rank], card.id)


def ceiling(
    card: RateCard,
    *,
    input_tokens: int,
    output_tokens: int,
    started_ms: int,
    longest_cache: Literal["5m", "1h"] | None = "1h",
    modifiers: Sequence[str] = (),
    web_searches: int = 0,
) -> int:
    """Return the most a call can cost, in picodollars, however its prompt is cached and whenever it ends.

    `input_tokens` and `output_tokens` are the most it can take. `longest_cache` is the longest prompt cache
    it may write (None: it asks for none); `modifiers` are those it asks for; surcharges that an account can
    have by default are always reckoned with. It does not bound a call that the provider runs in several
    passes.
    """
    tiers = card.tiers
    if card.peak_tiers and peak_over(started_ms, started_ms + _LONGEST_CALL_MS) is not Peak.OFF:
        tiers = (*tiers, *card.peak_tiers)
    dearest = 0
    for tier in tiers:
        if tier.above_tokens and tier.above_tokens >= input_tokens:
            continue
        prices = tier.prices
        of_input = max(prices.input, prices.cache_read)
        if longest_cache is not None:
            of_input = max(of_input, prices.cache_write_5m)
        if longest_cache == "1h":
            of_input = max(of_input, prices.cache_write_1h)
        dearest = max(dearest, input_tokens * of_input + output_tokens * prices.output)
    for modifier in card.modifiers:
        is_surcharge = modifier.numerator > modifier.denominator
        if is_surcharge and (not modifier.is_on_request or modifier.name in modifiers):
            dearest = -(-dearest * modifier.numerator // modifier.denominator)
    return dearest + web_searches * (card.web_search_picousd or 0)


def _passes(
    card: RateCard,
    usage: Usage,
    started_ms: int,
    finished_ms: int,
    lookup: Callable[[str], RateCard | None] | None,
) -> tuple[int | None, int] | None:
    """Return the sum of all passes and the worst basis among them; None where one has no price."""
    total, worst = 0, _EXACT
    for run in usage.passes:
        of_run = card
        if run.model is not None and run.model != card.model:
            found = lookup(run.model) if lookup is not None else None
            if found is None:
                return None
            of_run = found
        modifiers = usage.modifiers + tuple(m for m in run.usage.modifiers if m not in usage.modifiers)
        amount, rank = _tokens(of_run, run.usage, modifiers, started_ms, finished_ms)
        if amount is None:
            return None, rank
        total += amount
        worst = max(worst, rank)
    return total, worst


def _tokens(
    card: RateCard, usage: Usage, modifiers: tuple[str, ...], started_ms: int, finished_ms: int
) -> tuple[int | None, int]:
    """Return the cost of the tokens and its basis; no cost where a count is open."""
    in_tokens = usage.input_tokens
    out_tokens = usage.output_tokens
    if in_tokens is None or out_tokens is None:
        return None, _ESTIMATED
    rank = _UPPER_BOUND if card.is_upper_bound else _EXACT
    tiers = card.tiers
    if card.peak_tiers:
        peak = peak_over(started_ms, finished_ms)
        if peak is not Peak.OFF:
            tiers = card.peak_tiers
            if peak is Peak.UNCERTAIN:
                rank = _UPPER_BOUND
    prices = tiers[0].prices
    for tier in tiers[1:]:
        if in_tokens > tier.above_tokens:
            prices = tier.prices
    cached = usage.cached_tokens or 0
    written = usage.cache_write_tokens or 0
    amount = in_tokens * prices.input + out_tokens * prices.output
    if cached or written:
        # A provider whose counts don't add up is taken at its dearest word.
        plain = max(in_tokens - cached - written, 0)
        for_an_hour = min(usage.cache_write_1h_tokens or 0, written)
        amount = (
            plain * prices.input
            + cached * prices.cache_read
            + (written - for_an_hour) * prices.cache_write_5m
            + for_an_hour * prices.cache_write_1h
            + out_tokens * prices.output
        )
    if modifiers:
        amount, is_known = _modified(card, modifiers, amount)
        if not is_known:
            rank = _ESTIMATED
    return amount, rank


def _modified(card: RateCard, names: tuple[str, ...], amount: int) -> tuple[int, bool]:
    """Apply each modifier once; say also whether the card knows them all."""
    known = {modifier.name: modifier for modifier in card.modifiers}
    numerator, denominator, are_known = 1, 1, True
    for name in dict.fromkeys(names):
        modifier = known.get(name)
        if modifier is not None:
            numerator *= modifier.numerator
            denominator *= modifier.denominator
        elif name.rpartition(":")[2] not in _NEUTRAL:
            are_known = False
    return (2 * amount * numerator + denominator) // (2 * denominator), are_known
