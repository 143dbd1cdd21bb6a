"""Request ids are ULIDs: their first ten characters are the start in milliseconds, so ids sort by time.

The ledger is clustered by id; a span of time is therefore one contiguous range of it, without an index.
https://github.com/ulid/spec
"""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
_TIME_CHARS = 10
_LAST_MS = (1 << 48) - 1
# int(…, 32) reads 0-9 and A-V: Crockford's alphabet leaves out I, L, O and U, so its letters move down.
_TO_BASE_32 = str.maketrans(_ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")


def floor(at_ms: int) -> str:
    """Return what sorts before every id made at `at_ms` (epoch ms) or later, and after all earlier ones."""
    left = min(max(at_ms, 0), _LAST_MS)
    digits = []
    for _ in range(_TIME_CHARS):
        left, digit = divmod(left, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def check(request_id: str, started_at: int) -> None:
    """Raise ValueError unless `request_id` is a ULID made at `started_at` (epoch ms)."""
    try:
        made_at = int(request_id[:_TIME_CHARS].translate(_TO_BASE_32), 32)
    except ValueError:
        made_at = None
    if made_at != started_at or len(request_id) != _LENGTH:
        raise ValueError(f"request id {request_id!r} is no ULID of its started_at, {started_at}")
