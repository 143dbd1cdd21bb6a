"""So many a minute: a bucket that runs full again at an even pace."""

_MINUTE_MS = 60_000


class Bucket:
    """Let `per_minute` things through a minute; times are monotonic milliseconds.

    All of a minute's share may go at once; after that one comes free every 60,000 / `per_minute` ms. What
    turns out to be more than was taken is a debt that is paid off before anything else goes through.
    """

    __slots__ = ("_at_ms", "_level", "per_minute")

    def __init__(self, per_minute: int, now_ms: int) -> None:
        self.per_minute = per_minute
        # In parts of a thing: what comes in within a millisecond is `per_minute` of them, a whole number.
        self._level = per_minute * _MINUTE_MS
        self._at_ms = now_ms

    def wait_ms(self, count: int, now_ms: int) -> int:
        """Return in how many milliseconds `count` can be taken: 0 for now.

        More than there ever is in the bucket can be taken when it is full.
        """
        if now_ms > self._at_ms:
            self._fill(now_ms)
        missing = count * _MINUTE_MS - self._level
        if missing <= 0:
            return 0
        missing = min(count, self.per_minute) * _MINUTE_MS - self._level
        return max(0, -(-missing // self.per_minute))

    def take(self, count: int) -> None:
        """Take `count`, whether they are there or not; a negative count gives back."""
        self._level = min(self._level - count * _MINUTE_MS, self.per_minute * _MINUTE_MS)

    def resize(self, per_minute: int) -> None:
        """Let another number through a minute; what was taken stays taken."""
        self._level += (per_minute - self.per_minute) * _MINUTE_MS
        self.per_minute = per_minute

    def left(self, now_ms: int) -> int:
        """Return how many can be taken at once."""
        if now_ms > self._at_ms:
            self._fill(now_ms)
        return self._level // _MINUTE_MS if self._level > 0 else 0

    def full_in_ms(self) -> int:
        """Return in how many milliseconds the bucket will be full, as of the last look."""
        missing = self.per_minute * _MINUTE_MS - self._level
        return max(0, -(-missing // self.per_minute))

    def _fill(self, now_ms: int) -> None:
        level = self._level + (now_ms - self._at_ms) * self.per_minute
        full = self.per_minute * _MINUTE_MS
        self._level = level if level < full else full
        self._at_ms = now_ms
