"""The x-ratelimit headers, as OpenAI words them."""

from collections.abc import Sequence

from chatvault.core.accounts import Account
from chatvault.core.rate import Bucket
from chatvault.gateway.answers import Headers


def rate_headers(accounts: Sequence[Account], now_ms: int) -> Headers:
    """Return limit, remaining and reset for requests and for tokens, where there are limits.

    Of several accounts the one with the fewest left speaks. `now_ms` is monotonic.
    """
    headers: Headers = []
    requests = tokens = None
    for account in accounts:
        if account.requests is not None:
            requests = _tighter(requests, account.requests, now_ms)
        if account.tokens is not None:
            tokens = _tighter(tokens, account.tokens, now_ms)
    if requests is not None:
        headers += _three(b"requests", requests)
    if tokens is not None:
        headers += _three(b"tokens", tokens)
    return headers


def duration(milliseconds: int) -> str:
    """Write a length of time as OpenAI does: `120ms`, `1s`, `8.64s`, `6m0s`."""
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _tighter(known: Bucket | None, bucket: Bucket, now_ms: int) -> Bucket:
    bucket.wait_ms(0, now_ms)
    return bucket if known is None or bucket.left() < known.left() else known


def _three(what: bytes, bucket: Bucket) -> Headers:
    return [
        (b"x-ratelimit-limit-" + what, b"%d" % bucket.per_minute),
        (b"x-ratelimit-remaining-" + what, b"%d" % bucket.left()),
        (b"x-ratelimit-reset-" + what, duration(bucket.full_in_ms()).encode()),
    ]
