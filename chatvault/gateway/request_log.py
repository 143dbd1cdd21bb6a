"""What the gateway writes to the log: one line per request, provider errors, failed logins.

Each record has a message for people and, as `record.fields`, the same facts for programs. No prompt, no
answer and no secret is handed to the log at any level.
"""

import logging

from chatvault.core.ledger import CostBasis, LedgerRow
from chatvault.core.money import usd_text
from chatvault.errors import ProviderError

_requests = logging.getLogger("chatvault.requests")
_providers = logging.getLogger("chatvault.providers")
_logins = logging.getLogger("chatvault.logins")

# An exact sum needs no mark.
_COST_MARKS = {CostBasis.EXACT: "$", CostBasis.UPPER_BOUND: "≤$", CostBasis.ESTIMATED: "~$"}


class RequestRecord(logging.LogRecord):
    """One settled request. Its message and its `fields` are made when a format asks for them.

    It never changes, so that a handler may write it later.
    """

    def __init__(self, row: LedgerRow, token_name: str) -> None:
        # All that is the same for every request, copied: LogRecord's own making of it takes 5 µs.
        self.__dict__.update(_SAME_FOR_ALL)
        self.created = row.finished_at / 1000
        self._row = row
        self._token_name = token_name

    def getMessage(self) -> str:
        """Return the request as a line for people."""
        return _request_text(self._row, self._token_name)

    @property
    def fields(self) -> dict[str, object]:
        """The facts for programs."""
        row = self._row
        return {
            "event": "request",
            "request_id": row.id,
            "token": self._token_name,
            "token_id": row.token_id,
            "user": row.user_id,
            "client_ip": row.client_ip,
            "via": row.via,
            "client": row.client,
            "endpoint": row.endpoint,
            "model": row.model_name,
            "provider": row.provider,
            "upstream_model": row.upstream_model,
            "stream": row.stream,
            "outcome": str(row.status),
            "status": row.http_status,
            "error_code": row.error_code,
            "input_tokens": row.input_tokens,
            "cached_tokens": row.cached_tokens,
            "cache_write_tokens": row.cache_write_tokens,
            "output_tokens": row.output_tokens,
            "reasoning_tokens": row.reasoning_tokens,
            "ttft_ms": row.ttft_ms,
            "duration_ms": row.duration_ms,
            "cost_picousd": row.cost_picousd,
            "cost_basis": str(row.cost_basis),
        }


_SAME_FOR_ALL = logging.makeLogRecord(
    {"name": _requests.name, "levelno": logging.INFO, "levelname": "INFO"}
).__dict__


def log_request(row: LedgerRow, *, token_name: str) -> None:
    """Log one settled request: who, which model, how it ended, tokens, times, cost."""
    if _requests.isEnabledFor(logging.INFO):
        # Logger.info would look at the stack and at the extras' names first, for as long as all the rest.
        _requests.callHandlers(RequestRecord(row, token_name))


def log_provider_error(error: ProviderError, *, request_id: str, route: str) -> None:
    """Log what a provider did to a request; `route` is PROVIDER/NAME."""
    fields: dict[str, object] = {
        "event": "provider_error",
        "request_id": request_id,
        "route": route,
        "error_code": error.code,
        "upstream_status": error.upstream_status,
        "upstream_request_id": error.upstream_request_id,
        "detail": error.detail,
    }
    why = "" if error.detail is None else f": {error.detail}"
    said = "" if error.upstream_status is None else f" (it answered {error.upstream_status})"
    _providers.warning(f"{route}: {error.message}{said}{why}", extra={"fields": fields})


def log_failed_login(address: str, reason: str, *, request_id: str | None = None) -> None:
    """Log a caller without a valid access token; never what it sent instead of one."""
    fields: dict[str, object] = {
        "event": "failed_login",
        "request_id": request_id,
        "client_ip": address,
        "status": 401,
        "reason": reason,
    }
    _logins.warning(f"{'-':<10} {'-':<24} 401  {address} {reason}", extra={"fields": fields})


def _request_text(row: LedgerRow, token_name: str) -> str:
    text = f"{token_name:<10} {row.model_name:<24} {row.http_status}  "
    if row.error_code is not None:
        text += f"{row.error_code}  "
    if row.output_tokens is not None:
        read = "?" if row.input_tokens is None else _grouped(row.input_tokens)
        cached = f" (cached {_grouped(row.cached_tokens)})" if row.cached_tokens else ""
        text += f"{read}→{_grouped(row.output_tokens)} tok{cached}  "
    if row.ttft_ms is not None:
        text += f"{row.ttft_ms / 1000:.1f} s to first  "
    if row.duration_ms is not None:
        text += f"{row.duration_ms / 1000:.1f} s  "
    return text + _cost_text(row)


def _cost_text(row: LedgerRow) -> str:
    if row.cost_picousd is None:
        return "no price"
    if row.cost_basis is CostBasis.LOCAL:
        return "$0 local"
    return _COST_MARKS[row.cost_basis] + usd_text(row.cost_picousd)


def _grouped(count: int) -> str:
    """Write a count in groups of three digits: 1 204."""
    return str(count) if count < 1_000 else f"{count:,}".replace(",", " ")
