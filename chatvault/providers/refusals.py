"""What a provider's refusal means: its status and body, in whatever shape, as one of ChatVault's errors.

    401 403, "invalid key"  ProviderAuthFailed    without a word of theirs: they speak of our key
    429 503 529             ProviderOverloaded    with their `retry-after`; a 429 without one gets 5 seconds
    408                     ProviderTimeout
    402, "credit balance"   ProviderRefused       as they said it, but the next route may try: see `refusal`
    any other 4xx           ProviderRefused       with their status and message, redacted and bounded
    5xx and anything else   ProviderFailed        without their words: those are for the log (`detail`)

An error inside a stream has no status; its type takes that place (`stream_error`).
"""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from chatvault.core.redaction import redact
from chatvault.core.text import printable, shortened
from chatvault.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
)
from chatvault.providers.error_body import Said, read_said

_MESSAGE_LIMIT = 1000
_NOTE_CHARS = 300
# Clients are told a time to wait where a provider tells none: most rate limits go by the minute.
_WAIT_SECONDS = 5
_LONGEST_WAIT_SECONDS = 86_400 * 366
_ACCOUNT_ID = re.compile(r"\borg-[A-Za-z0-9]+")
_BALANCE = re.compile(r"insufficient balance|credit balance|insufficient credits", re.IGNORECASE)
# Gemini and xAI refuse a key with 400.
_KEY_REFUSED = re.compile(
    r"(?:invalid|incorrect|missing|no|expired|revoked|unknown|wrong) api[ _-]?key"
    r"|api[ _-]?key (?:provided )?(?:is |was |has )?(?:been )?"
    r"(?:not (?:valid|found)|invalid|incorrect|missing|expired|revoked)",
    re.IGNORECASE,
)
_STATUS_OF_TYPE = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "authentication_error": 401,
    "permission_error": 403,
    "billing_error": 402,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "request_too_large": 413,
    "timeout_error": 504,
    "api_error": 500,
    "server_error": 500,
}


def refusal(
    provider: str,
    status: int,
    body: bytes,
    *,
    retry_after: str | None = None,
    date: str | None = None,
    request_id: str | None = None,
) -> ProviderError:
    """Return the error that an answer other than 2xx stands for.

    `retry_after` and `date` are the headers as they came.

    An account without money (402, or Anthropic's 400 that says so) keeps its status, since client libraries
    give up on it at once where they would repeat a 502 in vain; its message names the provider, so that
    nobody takes it for a budget here; and it lets the next route try, whose account may be another.
    """
    wait = seconds_to_wait(retry_after, date)
    return _error(provider, status, read_said(body), wait=wait, request_id=request_id, is_inside=False)


def stream_error(provider: str, payload: bytes, *, request_id: str | None = None) -> ProviderError:
    """Return the error that an error event inside a stream, or under a status of 200, stands for."""
    said = read_said(payload)
    status = (
        said.status or _STATUS_OF_TYPE.get(said.type or "") or _STATUS_OF_TYPE.get(said.code or "") or 500
    )
    error = _error(provider, status, said, wait=None, request_id=request_id, is_inside=True)
    # Only what it said itself is its status.
    error.upstream_status = said.status
    return error


def note(text: str) -> str | None:
    """Return what a provider said, fit for the log: redacted, cut, and printable."""
    clean = shortened(printable(_ACCOUNT_ID.sub("org-…", redact(text)).strip()), width=_NOTE_CHARS)
    return clean or None


def _error(
    provider: str, status: int, said: Said, *, wait: int | None, request_id: str | None, is_inside: bool
) -> ProviderError:
    if 400 <= status < 500 and status not in (401, 403, 408, 429) and not _refuses_key(status, said):
        error: ProviderError = _refused(provider, status, said, request_id)
    else:
        error = _failure(provider, status, said, wait=wait, request_id=request_id, is_inside=is_inside)
    detail = note(said.message or "")
    error.detail = None if detail is not None and detail in error.message else detail
    return error


def _failure(
    provider: str, status: int, said: Said, *, wait: int | None, request_id: str | None, is_inside: bool
) -> ProviderError:
    if _refuses_key(status, said):
        return ProviderAuthFailed(
            f"{provider} refused the key it was given",
            hint=f"chatvault keys set {provider}",
            upstream_status=status,
            upstream_request_id=request_id,
        )
    if status == 429:
        return ProviderOverloaded(
            f"{provider}: {_words(said) or 'too busy, or its rate limit is reached'}",
            upstream_status=status,
            upstream_request_id=request_id,
            retry_after=_WAIT_SECONDS if wait is None else wait,
        )
    if status in (503, 529):
        return ProviderOverloaded(
            f"{provider} is overloaded",
            upstream_status=status,
            upstream_request_id=request_id,
            retry_after=wait,
        )
    if status == 408:
        return ProviderTimeout(
            f"{provider} gave up waiting", upstream_status=status, upstream_request_id=request_id
        )
    if 300 <= status < 400:
        return ProviderFailed(
            f"{provider} answered with a redirect ({status}), which is not followed",
            hint=f"check providers.{provider}.base_url",
            upstream_status=status,
            upstream_request_id=request_id,
        )
    what = said.type or "error"
    return ProviderFailed(
        f"{provider} failed ({what})" if is_inside else f"{provider} failed ({what}, {status})",
        upstream_status=status,
        upstream_request_id=request_id,
    )


def _refuses_key(status: int, said: Said) -> bool:
    return status in (401, 403) or (status == 400 and _KEY_REFUSED.search(said.message or "") is not None)


def _refused(provider: str, status: int, said: Said, request_id: str | None) -> ProviderRefused:
    words = _words(said)
    lacks_money = status == 402 or _BALANCE.search(words or "") is not None
    if words is None:
        words = f"{provider} refused the request ({status})"
    elif lacks_money:
        words = f"{provider}: {words}"
    code = said.code
    if code is None and (said.type == "not_found_error" or status == 404) and "model" in words:
        code = "model_not_found"
    error = ProviderRefused(
        words,
        status=status,
        type=said.type or "invalid_request_error",
        code=code,
        param=said.param,
        upstream_request_id=request_id,
    )
    error.is_retryable = lacks_money
    return error


def _words(said: Said) -> str | None:
    if said.message is None:
        return None
    text = _ACCOUNT_ID.sub("org-…", redact(said.message)).strip()
    return (text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + "…") or None


def seconds_to_wait(retry_after: str | None, date: str | None) -> int | None:
    """Read a `retry-after`, in seconds or as a date, into whole seconds; None where it says nothing.

    A date is measured against the answer's own `date`: both are told by the provider's clock.
    """
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        then, now = _instant(retry_after), _instant(date)
        if then is None or now is None:
            return None
        seconds = max((then - now).total_seconds(), 0.0)
    return math.ceil(seconds) if 0 <= seconds < _LONGEST_WAIT_SECONDS else None


def _instant(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    # "-0000" is read as no zone at all: HTTP's dates are GMT whatever they say (RFC 9110, 5.6.7).
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
