"""How a request is written down: its hold, and the row it ends as."""

from collections.abc import Callable, Sequence

from chatvault.core.ledger import REFUSED_COST, Attempt, LedgerRow, Status, settled
from chatvault.core.usage import NO_USAGE
from chatvault.gateway.auth import PROBE_ID
from chatvault.gateway.billing import Billing
from chatvault.gateway.call import Call
from chatvault.gateway.contents import Contents
from chatvault.gateway.planning import Plan
from chatvault.gateway.price_list import PriceList
from chatvault.gateway.progress import Progress
from chatvault.gateway.request_log import log_request
from chatvault.store.writer import Store


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
        self._billing = Billing(prices, now_ms=now_ms, clock=clock)
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

    def may_bill(self, call: Call, progress: Progress) -> int:
        """Return the most that the route which has just failed may bill, 0 where its price isn't known."""
        return self._billing.may_bill(call, progress)

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
        usage, price = self._billing.usage_and_cost(call, progress, status, finished_ms)
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

    def _put(self, call: Call, row: LedgerRow, attempts: Sequence[Attempt], *, durable: bool) -> None:
        if call.ticket is not None:
            call.ticket.settle(row.cost_picousd, (row.input_tokens or 0) + (row.output_tokens or 0))
        if call.token.id == PROBE_ID:
            return
        self._store.settle(row, attempts=attempts, durable=durable)
        log_request(row, token_name=call.token.name)


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
