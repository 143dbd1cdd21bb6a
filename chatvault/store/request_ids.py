"""Request ids are ULIDs of the request's start: the store's doors check that.

The ledger is clustered by id, and reports take a span of time for a range of ids.
"""

from chatvault.core.ulid import LENGTH

_TIME_CHARS = 10
# int(…, 32) reads 0-9 and A-V: Crockford's alphabet leaves out I, L, O and U, so its letters move down.
_TO_BASE_32 = str.maketrans("0123456789ABCDEFGHJKMNPQRSTVWXYZ", "0123456789ABCDEFGHIJKLMNOPQRSTUV")


def check(request_id: str, started_at: int) -> None:
    """Raise ValueError unless `request_id` is a ULID made at `started_at` (epoch ms)."""
    try:
        made_at = int(request_id[:_TIME_CHARS].translate(_TO_BASE_32), 32)
    except ValueError:
        made_at = None
    if made_at != started_at or len(request_id) != LENGTH:
        raise ValueError(f"request id {request_id!r} is no ULID of its started_at, {started_at}")
