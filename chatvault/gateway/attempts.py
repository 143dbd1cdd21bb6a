"""The routes of a request, one after the other, until one of them begins to answer.

place → hold, committed → provider; after a failure that allows it, the next route that the hold can cover
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from chatvault.core.ledger import Attempt
from chatvault.core.value import quickly_made
from chatvault.errors import ProviderError, RequestError, StoreError
from chatvault.gateway.admission import Admission
from chatvault.gateway.books import Books
from chatvault.gateway.call import Call
from chatvault.gateway.places import Places
from chatvault.gateway.planning import PricedRoute
from chatvault.gateway.progress import Progress
from chatvault.gateway.request_log import log_provider_error
from chatvault.gateway.sse_answer import SseAnswer
from chatvault.providers.base import Completion, Stream


@quickly_made
@dataclass(frozen=True, slots=True)
class Begun:
    """An answer that has begun: a whole one, or a stream with its first events."""

    completion: Completion | None
    stream: Stream | None
    first: bytes


class Attempts:
    """Ask providers, each in its place, for answers that have been held."""

    def __init__(self, *, admission: Admission, books: Books, places: Mapping[str, Places]) -> None:
        self._admission = admission
        self._books = books
        self._places = places

    async def begin(self, call: Call, progress: Progress, answer: SseAnswer | None) -> tuple[Begun, Places]:
        """Return the first route's answer that begins; falls back only while no byte has gone out."""
        plan = progress.plan
        assert plan is not None
        routes = iter(plan.routes)
        priced = next(routes)
        is_held = False
        while True:
            progress.at = priced
            places = self._places[priced.route.provider]
            try:
                if not places.try_enter():
                    await places.enter()
                try:
                    if not is_held:
                        await self._books.hold(call, plan)
                        is_held = True
                    return await self._ask(progress, priced), places
                except BaseException:
                    places.leave()
                    raise
            except (RequestError, ProviderError) as exc:
                self._note_failure(call, progress, priced, exc)
                may_fall_back = exc.is_retryable if isinstance(exc, ProviderError) else exc.status == 503
                if not may_fall_back or (answer is not None and answer.has_started):
                    raise
                following = await self._next(call, progress, routes, is_lost=may_be_billed(exc))
                if following is None:
                    # Not a 429: the failure is what happened. Whoever asks again meets the budget itself.
                    raise
                priced = following

    async def _next(
        self, call: Call, progress: Progress, routes: Iterator[PricedRoute], *, is_lost: bool
    ) -> PricedRoute | None:
        """Return the first of `routes` that the hold covers beside what has failed; None where none is left.

        `is_lost` says that the route which has just failed may bill the request.
        """
        request, failed = progress.request, progress.at
        assert request is not None and failed is not None
        is_lost = is_lost and not failed.route.is_local
        lost = progress.lost_picousd + (self._books.may_bill(call, progress) if is_lost else 0)
        for planned in routes:
            priced = self._admission.hold_next(call, request, planned, lost)
            if priced is None:
                continue
            progress.leave_route(lost_picousd=lost, is_lost=is_lost)
            try:
                await self._books.raise_hold(call, progress, lost + (priced.ceiling_picousd or 0))
            except StoreError:
                # What can't be written down isn't sent. A route at home may need no more than is held.
                continue
            return priced
        return None

    async def _ask(self, progress: Progress, priced: PricedRoute) -> Begun:
        request = progress.request
        assert request is not None
        if priced.cut_tokens is not None:
            request = replace(request, max_tokens=priced.cut_tokens)
        progress.was_sent = True
        if not request.stream:
            completion = await priced.provider.complete(request, priced.route.model)
            progress.has_begun = True
            return Begun(completion, None, b"")
        stream = await priced.provider.stream(request, priced.route.model)
        try:
            progress.meter = stream.meter
            first = await stream.read()
        except BaseException:
            stream.close()
            raise
        progress.has_begun = True
        return Begun(None, stream, first)

    def _note_failure(
        self, call: Call, progress: Progress, priced: PricedRoute, exc: RequestError | ProviderError
    ) -> None:
        upstream_status = exc.upstream_status if isinstance(exc, ProviderError) else None
        progress.attempts.append(Attempt(priced.route.name, exc.code, upstream_status))
        if isinstance(exc, ProviderError):
            progress.upstream_request_id = exc.upstream_request_id
            log_provider_error(exc, request_id=call.id, route=priced.route.name)


def may_be_billed(exc: RequestError | ProviderError | StoreError) -> bool:
    """Whether the provider had the request and did not refuse it; a defect of ours tells nothing of that."""
    if isinstance(exc, ProviderError):
        return exc.may_be_billed and (exc.upstream_status or 200) < 300
    return isinstance(exc, RequestError) and exc.status == 500
