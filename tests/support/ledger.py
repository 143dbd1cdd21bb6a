"""Holds and ledger rows for tests."""

import hashlib
from dataclasses import replace
from typing import Any

from chatvault.core.ledger import Cost, CostBasis, Hold, LedgerRow, Status, interrupted, settled
from chatvault.core.ulid import ulid
from chatvault.core.usage import Usage

NOON = 1_795_003_200_000
"""2026-11-18T12:00:00Z in epoch milliseconds."""

CARD_BODY = '{"model":"claude-sonnet-5-5"}'
CARD_ID = hashlib.sha256(CARD_BODY.encode()).hexdigest()[:16]


def request_id(at_ms: int, number: int = 0) -> str:
    """Return a ULID of `at_ms`; another `number` gives another one."""
    return ulid(at_ms, number)


def a_hold(number: int = 0, *, at_ms: int = NOON, **changes: Any) -> Hold:
    """Return a hold of a paid request."""
    hold = Hold(
        id=request_id(at_ms, number),
        started_at=at_ms,
        user_id="me",
        token_id="tok_phone1",
        client_ip="192.0.2.7",
        via="local",
        client="openai-python/2.54.0",
        endpoint="/v1/chat/completions",
        model_name="claude",
        provider="anthropic",
        upstream_model="claude-sonnet-5-5",
        stream=True,
        ceiling_picousd=40_000_000_000,
        is_local=False,
        rate_card_id=CARD_ID,
    )
    return replace(hold, **changes)


def a_row(hold: Hold, **changes: Any) -> LedgerRow:
    """Return the row a hold ends as when all goes well."""
    row = settled(
        hold,
        finished_at=hold.started_at + 1500,
        status=Status.OK,
        http_status=200,
        usage=Usage(input_tokens=1200, cached_tokens=1000, output_tokens=340),
        cost=Cost(13_100_000_000, CostBasis.EXACT, CARD_ID),
        ttft_ms=420,
        duration_ms=1500,
        upstream_request_id="req_1",
    )
    return replace(row, **changes)


def a_refusal(number: int = 0, *, at_ms: int = NOON, **changes: Any) -> LedgerRow:
    """Return the row of a request that never got a hold."""
    row = interrupted(a_hold(number, at_ms=at_ms, is_local=True), finished_at=at_ms)
    refused = replace(
        row,
        status=Status.REFUSED,
        http_status=429,
        error_code="rate_limit_exceeded",
        cost_picousd=0,
        cost_basis=CostBasis.EXACT,
        provider=None,
        upstream_model=None,
    )
    return replace(refused, **changes)
