"""How often somebody may fail to log in, and how long they wait after that. Knows no clock."""

from dataclasses import dataclass, field

_FIRST_DELAY_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 300.0
_FORGET_SECONDS = 600.0


@dataclass(slots=True)
class Allowance:
    """A bucket that holds `size` and fills up once in 60 seconds."""

    size: float
    left: float
    at: float = 0.0

    def take(self, now: float) -> bool:
        """Take one out, if one is in it at `now` (seconds)."""
        self.left = min(self.size, self.left + (now - self.at) * self.size / 60)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


@dataclass(slots=True)
class _Caller:
    allowance: Allowance
    delay: float = 0.0
    until: float = 0.0
    seen: float = field(default=0.0)


class LoginLimits:
    """Count failures per caller and in all, in bounded memory: `failed` says how long to keep away.

    A caller has `per_minute` failures free; each further one waits, twice as long each time it comes back too
    early, 5 minutes at most. It is forgotten after 10 quiet minutes, or when `max_callers` others came since.
    """

    def __init__(self, *, per_minute: int = 10, in_all: int = 100, max_callers: int = 4096) -> None:
        self._per_minute = float(per_minute)
        self._in_all = Allowance(float(in_all), float(in_all))
        self._max_callers = max_callers
        self._callers: dict[str, _Caller] = {}

    def __len__(self) -> int:
        return len(self._callers)

    def failed(self, caller: str, *, now: float) -> float:
        """Count a failure at `now` (seconds); return the seconds to wait, 0 within the allowance."""
        found = self._callers.pop(caller, None)
        if found is None or now - found.seen > _FORGET_SECONDS:
            found = _Caller(Allowance(self._per_minute, self._per_minute, now))
        self._callers[caller] = found
        if len(self._callers) > self._max_callers:
            del self._callers[next(iter(self._callers))]
        found.seen = now
        if now < found.until:
            return found.until - now
        if not found.allowance.take(now):
            found.delay = min(max(found.delay * 2, _FIRST_DELAY_SECONDS), _LONGEST_DELAY_SECONDS)
            found.until = now + found.delay
            return found.delay
        if not self._in_all.take(now):
            return _FIRST_DELAY_SECONDS
        return 0.0
