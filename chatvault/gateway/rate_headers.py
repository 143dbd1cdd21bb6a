"""The x-ratelimit headers, as OpenAI words them."""

from collections.abc import Sequence

from chatvault.core.account import Account
from chatvault.core.rate import Bucket
from chatvault.gateway.answers import Headers

_REQUESTS = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_TOKENS = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")


def rate_headers(accounts: Sequence[Account], now_ms: int) -> Headers:
    """Return limit, remaining and reset for requests and for tokens, where there are limits.

    Of several accounts the one with the fewest left speaks. `now_ms` is monotonic.
    """
    headers: Headers = []
    requests = tokens = None
    fewest_requests = fewest_tokens = 0
    for account in accounts:
        bucket = account.requests
        if bucket is not None:
            left = bucket.left(now_ms)
            if requests is None or left < fewest_requests:
                requests, fewest_requests = bucket, left
        bucket = account.tokens
        if bucket is not None:
            left = bucket.left(now_ms)
            if tokens is None or left < fewest_tokens:
                tokens, fewest_tokens = bucket, left
    if requests is not None:
        _add(headers, _REQUESTS, requests, fewest_requests)
    if tokens is not None:
        _add(headers, _TOKENS, tokens, fewest_tokens)
    return headers


def duration(milliseconds: int) -> bytes:
    """Write a length of time as OpenAI does: `120ms`, `1s`, `8.64s`, `6m0s`."""
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    seconds, rest = divmod(milliseconds, 1000)
    part = (b".%03d" % rest).rstrip(b"0") if rest else b""
    if seconds < 60:
        return b"%d%bs" % (seconds, part)
    return b"%dm%d%bs" % (seconds // 60, seconds % 60, part)


def _add(headers: Headers, names: tuple[bytes, bytes, bytes], bucket: Bucket, left: int) -> None:
    limit, remaining, reset = names
    headers.append((limit, b"%d" % bucket.per_minute))
    headers.append((remaining, b"%d" % left))
    headers.append((reset, duration(bucket.full_in_ms())))
