"""How long to wait before the next attempt to reach the relay."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["silent", "refused", "busy", "contended", "broken", "permanent"]
"""What an attempt ended with.

`silent`: nothing answers (no route, no name, a time-out). `refused`: the host answers, not its SSH server.
`busy`: the public port is taken; `contended`: by another daemon, which is not fought. `broken`: anything else
that may pass. `permanent`: a person must mend it.
"""

_BASE_SECONDS = 0.25
_LONGEST_SECONDS = 30.0
_STABLE_SECONDS = 30.0
# A host that does not answer is not burdened by being asked; so a network that comes back is met at once.
_EAGER_SECONDS = 90.0
_EAGER_CAPS: dict[Kind, float] = {"silent": 0.5, "refused": 2.0}
_BUSY_RANGE = (0.5, 1.5)
_CONTENDED_RANGE = (21.0, 30.0)


def pause_seconds(kind: Kind, attempt: int, *, outage_seconds: float, chance: float) -> float:
    """Return how long to wait, in seconds: full jitter under a cap that doubles up to 30 s.

    `attempt` counts the failures since the link was last stable, from 0; the first retry comes at once.
    `outage_seconds` is how long the link has been away; `chance` is uniform in [0, 1). For the first 90 s a
    silent or refusing relay is asked more often than that; about another daemon it is asked twice a minute.
    Raises ValueError for a permanent fault.
    """
    if kind == "permanent":
        raise ValueError("nothing is to be gained by waiting")
    if attempt <= 0:
        return 0.0
    is_early = outage_seconds < _EAGER_SECONDS
    if kind == "contended" or (kind == "busy" and is_early):
        low, high = _CONTENDED_RANGE if kind == "contended" else _BUSY_RANGE
        return low + (high - low) * chance
    # The exponent is bounded: a float that doubles for a week overflows.
    cap = min(_LONGEST_SECONDS, _BASE_SECONDS * 2.0 ** min(attempt, 16))
    if is_early:
        cap = min(cap, _EAGER_CAPS.get(kind, cap))
    return cap * chance


def is_stable(up_seconds: float) -> bool:
    """Whether a link that stood so long may forget the failures before it."""
    return up_seconds >= _STABLE_SECONDS


@dataclass(frozen=True, slots=True)
class TakeOvers:
    """The moments, in seconds, at which this daemon took the port from another session."""

    moments: tuple[float, ...] = ()

    def with_one_at(self, now: float) -> "TakeOvers":
        """Return these and one more; what is older than a minute is forgotten."""
        return TakeOvers((*(each for each in self.moments if now - each < 60.0), now))

    def is_a_fight(self, now: float) -> bool:
        """Whether so many within a minute can only mean that another daemon wants the port too."""
        return sum(now - each < 60.0 for each in self.moments) >= 3
