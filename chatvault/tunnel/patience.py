"""How long the tunnel waits before it tries again, after all that has gone wrong so far."""

from collections.abc import Callable

from chatvault.core.backoff import is_stable, pause_seconds
from chatvault.tunnel.faults import Fault

_CONTENDED_SECONDS = 30.0
_FLAP_SECONDS = 2.0
_MOST_FLAPS = 5


class Patience:
    """Count the failures in a row. `chance` is uniform in [0, 1)."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._attempt = 0
        self._is_lost_link = False

    def forget(self) -> None:
        """Begin anew: what went wrong before says nothing of what comes."""
        self._attempt = 0

    def note_failure(self) -> None:
        """Take note that no link could be made."""
        self._is_lost_link = False

    def note_loss(self, up_seconds: float) -> None:
        """Take note that a link has ended that stood for so long."""
        self._is_lost_link = up_seconds >= _FLAP_SECONDS
        if is_stable(up_seconds):
            self._attempt = 0

    def pause(self, fault: Fault, *, outage_seconds: float, is_contended: bool) -> float:
        """Return how many seconds to wait after one more `fault`, which is not a permanent one."""
        # A link that stood is replaced at once, unless it has gone again and again.
        attempt = 0 if self._is_lost_link and self._attempt < _MOST_FLAPS else max(1, self._attempt)
        self._attempt += 1
        if is_contended:
            return _CONTENDED_SECONDS * (0.7 + 0.3 * self._chance())
        return pause_seconds(fault.kind, attempt, outage_seconds=outage_seconds, chance=self._chance())
