"""How long the tunnel waits before it tries again, after all that has gone wrong so far."""

from collections.abc import Callable

from chatvault.core.backoff import is_stable, pause_seconds
from chatvault.tunnel.link_end import Lost

_FLAP_SECONDS = 2.0
_MOST_FLAPS = 5


class Patience:
    """Count the failures in a row. `chance` is uniform in [0, 1)."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._failures = 0

    def forget(self) -> None:
        """Begin anew: what went wrong before says nothing of what comes."""
        self._failures = 0

    def pause(self, end: Lost, *, outage_seconds: float) -> float | None:
        """Return how many seconds to wait after one more end, None where waiting is of no use."""
        if end.fault.is_permanent:
            return None
        stood = 0.0 if end.up_seconds is None else end.up_seconds
        if is_stable(stood):
            self._failures = 0
        # A link that stood is replaced at once, unless it has gone again and again.
        is_at_once = stood >= _FLAP_SECONDS and self._failures < _MOST_FLAPS
        attempt = 0 if is_at_once else max(1, self._failures)
        self._failures += 1
        return pause_seconds(end.fault.kind, attempt, outage_seconds=outage_seconds, chance=self._chance())
