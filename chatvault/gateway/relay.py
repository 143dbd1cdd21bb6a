"""One request's way, down to a provider and back up, once: this file alone knows the order.

    rate → parse → routes → plan (price, ceiling) → budget → place → hold, committed → provider → answer
    → settlement

Whatever happens on the way, a request of a valid access token is settled exactly once, and that is never
awaited: a client that leaves cancels the task, and its row goes to the writer without a pause in between.
"""

import asyncio
from collections.abc import Callable, Mapping

from chatvault.core.ledger import Status
from chatvault.core.metering import Meter
from chatvault.errors import ProviderError, RequestError, StoreError
from chatvault.gateway.admission import Admission
from chatvault.gateway.answers import Headers, Send, as_request_error, error_body, send_error, send_json
from chatvault.gateway.attempts import Attempts, may_be_billed
from chatvault.gateway.books import Books
from chatvault.gateway.call import Call, Ending
from chatvault.gateway.catalog import Catalog
from chatvault.gateway.dialects.openai_chat import parse
from chatvault.gateway.endings import ENDINGS, defect
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.places import Places
from chatvault.gateway.planning import Planner, PricedRoute
from chatvault.gateway.progress import Progress
from chatvault.gateway.request_log import log_provider_error
from chatvault.gateway.sse_answer import SSE_DONE, Push, SseAnswer
from chatvault.gateway.text_length import text_length


class Relay:
    """Take chat requests on their way."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        planner: Planner,
        admission: Admission,
        books: Books,
        places: Mapping[str, Places],
        heartbeat: Heartbeat,
        clock: Callable[[], float],
    ) -> None:
        self._catalog = catalog
        self._planner = planner
        self._admission = admission
        self._books = books
        self._attempts = Attempts(admission=admission, books=books, places=places)
        self._heartbeat = heartbeat
        self._clock = clock

    async def serve(
        self, call: Call, raw: bytes, send: Send, headers: Headers, *, push: Push | None = None
    ) -> None:
        """Answer one chat request, whole or streamed, and settle it.

        `push` sends what `send` would, as long as that needs no waiting.
        """
        progress = self._books.open(call, raw)
        answer: SseAnswer | None = None
        try:
            denied = self._admission.enter(call)
            parsed = parse(raw)
            request = progress.request = parsed.request
            call.model_name = request.model
            call.is_stream = request.stream
            if denied is not None:
                raise denied
            if parsed.dropped:
                headers.append((b"x-chatvault-dropped", ", ".join(parsed.dropped).encode("ascii")))
            routes = await self._catalog.routes(request.model, call.token)
            plan = self._planner.plan(call, request, routes)
            progress.plan = self._admission.hold(call, request, plan)
            headers += self._admission.headers(call)
            progress.is_told = True
            if request.stream:
                answer = SseAnswer(send, headers, push)
                self._heartbeat.watch(answer)
                await self._stream(call, progress, answer, headers)
            else:
                await self._whole(call, progress, send, headers)
        except (RequestError, ProviderError, StoreError) as exc:
            await self._fail(call, progress, exc, answer, send, headers)
        except asyncio.CancelledError:
            ending = call.ending
            if ending is None:
                self._settle_cut(call, progress, Ending.STOPPING, answer)
                raise
            call.task.uncancel()
            self._settle_cut(call, progress, ending, answer)
            if ending is not Ending.CLIENT_LEFT:
                await self._say_ending(ending, answer, send, headers)
        except BaseException:
            # A defect of ours, told in the log by whoever calls: the request is settled all the same. The
            # server ends the connection after it.
            headers.append((b"connection", b"close"))
            await self._fail(call, progress, defect(), answer, send, headers)
            raise
        finally:
            if call.ticket is not None:
                # Settled long ago, but for a defect: then it counts as all that it could cost.
                call.ticket.settle(None, 0)
            if answer is not None:
                self._heartbeat.forget(answer)

    async def _whole(self, call: Call, progress: Progress, send: Send, headers: Headers) -> None:
        begun, places = await self._attempts.begin(call, progress, None)
        places.leave()
        completion = begun.completion
        assert completion is not None and progress.at is not None
        progress.usage = completion.usage
        if completion.usage is None:
            progress.meter = Meter()
            progress.meter.output_bytes = text_length(completion.body)
        progress.upstream_request_id = completion.upstream_request_id
        call.is_over = True
        headers += _route_headers(progress.at)
        if progress.transcript is not None:
            progress.transcript.heard(completion.body)
        self._books.settle(call, progress, status=Status.OK, http_status=200)
        await send_json(send, 200, completion.body, headers)

    async def _stream(self, call: Call, progress: Progress, answer: SseAnswer, headers: Headers) -> None:
        begun, places = await self._attempts.begin(call, progress, answer)
        stream, events = begun.stream, begun.first
        # It would keep the first events for as long as the stream lasts.
        del begun
        assert stream is not None and progress.at is not None
        has_place = True
        try:
            progress.ttft_ms = int((self._clock() - call.started) * 1000)
            if not answer.has_started:
                headers += _route_headers(progress.at)
            transcript = progress.transcript

            def note(events: bytes) -> None:
                progress.heard_at = self._clock()
                if progress.text_ms is None and stream.meter.output_bytes:
                    progress.text_ms = int((progress.heard_at - call.started) * 1000)
                if transcript is not None:
                    transcript.heard(events)

            def take(events: bytes) -> bool:
                if not answer.offer(events):
                    return False
                note(events)
                return True

            while events and not events.endswith(SSE_DONE):
                note(events)
                waiting_since = self._clock()
                await answer.write(events)
                progress.behind_seconds += self._clock() - waiting_since
                events = await stream.pump(take)
            call.is_over = True
            places.leave()
            has_place = False
            if transcript is not None:
                transcript.heard(events)
            # Before the last event goes out: a client that has seen the end finds its row.
            self._books.settle(call, progress, status=Status.OK, http_status=200)
            await answer.end(events)
            # The body's own end is read, so that the connection can serve another request.
            await stream.read()
        finally:
            stream.close()
            if has_place:
                places.leave()

    async def _fail(
        self,
        call: Call,
        progress: Progress,
        exc: RequestError | ProviderError | StoreError,
        answer: SseAnswer | None,
        send: Send,
        headers: Headers,
    ) -> None:
        error = as_request_error(exc, provider=None if progress.at is None else progress.at.route.provider)
        has_started = answer is not None and answer.has_started
        is_refusal = not isinstance(exc, ProviderError) and error.status != 500 and not progress.has_lost
        status = Status.REFUSED if is_refusal else Status.ERROR
        if progress.was_sent and may_be_billed(exc):
            progress.expect_bill()
        elif not progress.has_begun:
            progress.meter = None
        if isinstance(exc, ProviderError) and progress.has_begun and progress.at is not None:
            log_provider_error(exc, request_id=call.id, route=progress.at.route.name)
        if progress.transcript is not None:
            progress.transcript.heard(error_body(error))
        self._books.settle(
            call,
            progress,
            status=status,
            http_status=200 if has_started else error.status,
            error_code=error.code or error.type,
        )
        if answer is not None and answer.has_started:
            await answer.end(b"data: " + error_body(error) + b"\n\n")
            return
        if not progress.is_told:
            headers += self._admission.headers(call)
        await send_error(send, error, headers)

    def _settle_cut(self, call: Call, progress: Progress, ending: Ending, answer: SseAnswer | None) -> None:
        error = ENDINGS[ending]
        if progress.was_sent:
            progress.expect_bill()
        has_started = answer is not None and answer.has_started
        is_client = ending is Ending.CLIENT_LEFT
        self._books.settle(
            call,
            progress,
            status=Status.CANCELLED,
            http_status=200 if has_started and not is_client else error.status,
            error_code="token_revoked" if ending is Ending.TOKEN_REVOKED else error.code,
        )

    async def _say_ending(
        self, ending: Ending, answer: SseAnswer | None, send: Send, headers: Headers
    ) -> None:
        error = ENDINGS[ending]
        if answer is not None and answer.has_started:
            await answer.end(b"data: " + error_body(error) + b"\n\n")
        else:
            await send_error(send, error, headers)


def _route_headers(at: PricedRoute) -> Headers:
    headers = [(b"x-chatvault-route", at.route.name.encode())]
    if at.cut_tokens is not None:
        headers.append((b"x-chatvault-max-tokens", b"%d" % at.cut_tokens))
    return headers
