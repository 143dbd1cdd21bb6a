"""What a request may cost at most: its routes, each with its price, and the hold that covers the dearest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatvault.core.chat import CacheTtl, ChatRequest
from chatvault.core.estimate import input_bound
from chatvault.core.ledger import Hold
from chatvault.core.model_limits import limits
from chatvault.core.pricing import RateCard, ceiling
from chatvault.core.routing import Route
from chatvault.core.value import quickly_made
from chatvault.errors import RequestError
from chatvault.gateway.call import Call
from chatvault.gateway.price_list import PriceList
from chatvault.providers.base import Provider, RestoresThinking

# What a model may produce when neither the request, nor the provider, nor the table of limits says so.
_UNKNOWN_MODELS_OUTPUT = 131_072


@quickly_made
@dataclass(frozen=True, slots=True)
class PricedRoute:
    """A route, its provider, and its price: `card` is None at home, and where nobody knows the price.

    The ceiling is that of `input_tokens` and `output_tokens`, the most it can take. `cut_tokens` is the
    `max_tokens` to be sent where the budget has no room for the model's own.
    """

    route: Route
    provider: Provider
    card: RateCard | None
    ceiling_picousd: int | None
    input_tokens: int = 0
    output_tokens: int | None = None
    cut_tokens: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Plan:
    """The routes in the order they are tried, and the hold for all of them."""

    routes: tuple[PricedRoute, ...]
    hold: Hold


class Planner:
    """Price the routes of a request."""

    def __init__(self, providers: Mapping[str, Provider], prices: PriceList) -> None:
        self._providers = providers
        self._prices = prices
        self._restorers = {
            name: provider for name, provider in providers.items() if isinstance(provider, RestoresThinking)
        }

    def plan(self, call: Call, request: ChatRequest, routes: Sequence[Route]) -> Plan:
        """Return the plan for a request that `routes` may answer. Raises RequestError (400)."""
        able = [route for route in routes if not route.is_local] if _has_remote_image(request) else routes
        if not able:
            raise RequestError(
                "A local model is not shown images from elsewhere: send the image itself, as a data: URL.",
                code="image_url_not_fetched",
                param="messages",
            )
        priced = tuple([self._priced(route, request, call.started_ms) for route in able])
        return Plan(priced, hold_of(call, request, priced))

    def _priced(self, route: Route, request: ChatRequest, now_ms: int) -> PricedRoute:
        provider = self._providers[route.provider]
        if route.is_local:
            return PricedRoute(route, provider, None, 0)
        card = self._prices.find(route.provider, provider.kind, route.model, at_ms=now_ms)
        if card is None:
            return PricedRoute(route, provider, None, None)
        output = provider.output_limit(request, route.model)
        if output is None:
            known = limits(provider.kind, route.model)
            output = (known.max_output_tokens if known is not None else None) or _UNKNOWN_MODELS_OUTPUT
        restored = self._restorers.get(route.provider)
        bound = input_bound(request if restored is None else restored.restored(request), provider.kind)
        most = ceiling(
            card,
            input_tokens=bound,
            output_tokens=output,
            started_ms=now_ms,
            longest_cache=_longest_cache(request),
        )
        return PricedRoute(route, provider, card, most, bound, output)


def ceiling_with(priced: PricedRoute, request: ChatRequest, output_tokens: int, started_ms: int) -> int:
    """Return the most that a priced route can cost with another limit of its output, in picodollars."""
    assert priced.card is not None
    return ceiling(
        priced.card,
        input_tokens=priced.input_tokens,
        output_tokens=output_tokens,
        started_ms=started_ms,
        longest_cache=_longest_cache(request),
    )


def hold_of(call: Call, request: ChatRequest, routes: Sequence[PricedRoute]) -> Hold:
    """Return the hold that covers the dearest of `routes`."""
    dearest = routes[0]
    most: int | None = 0
    for priced in routes:
        if priced.ceiling_picousd is None:
            most, dearest = None, priced
            break
        if most is not None and priced.ceiling_picousd > most:
            most, dearest = priced.ceiling_picousd, priced
    first = routes[0].route
    return Hold(
        call.id,
        call.started_ms,
        call.token.user,
        call.token.id,
        call.client_ip,
        call.via,
        call.client,
        call.endpoint,
        request.model,
        first.provider,
        first.model,
        request.stream,
        most,
        all(priced.route.is_local for priced in routes),
        dearest.card.id if dearest.card is not None else None,
    )


def _longest_cache(request: ChatRequest) -> CacheTtl | None:
    """Return the longest prompt cache that the request asks to be written, None where it asks for none."""
    longest: CacheTtl | None = None
    for tool in request.tools:
        longest = _longer(longest, tool.cache)
    for message in request.messages:
        if message.cache is not None:
            longest = _longer(longest, message.cache)
        # Most messages are one text, and a conversation has hundreds: none of them is walked through here.
        if not isinstance(message.content, str):
            for part in message.content or ():
                longest = _longer(longest, part.cache)
    return longest


def _longer(one: CacheTtl | None, other: CacheTtl | None) -> CacheTtl | None:
    return one if other is None or one == "1h" else other


def _has_remote_image(request: ChatRequest) -> bool:
    for message in request.messages:
        if not isinstance(message.content, str) and any(image.is_remote for image in message.images):
            return True
    return False
