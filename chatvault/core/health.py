"""What is wrong with the daemon just now: conditions, each with a name, told when they come and go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong: its name, what it is in words, and since when (epoch milliseconds)."""

    name: str
    detail: str
    since_ms: int


class Health:
    """The conditions that hold, by name. A name that isn't there is well."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All conditions, the oldest first."""
        return tuple(sorted(self._conditions.values(), key=lambda each: (each.since_ms, each.name)))

    def report(self, name: str, detail: str | None, *, now_ms: int) -> bool:
        """Note that `name` is wrong as `detail` says, or well again with None; return whether that is news.

        A condition whose words change goes on from when it began.
        """
        before = self._conditions.get(name)
        if detail is None:
            return self._conditions.pop(name, None) is not None
        if before is not None and before.detail == detail:
            return False
        self._conditions[name] = Condition(name, detail, before.since_ms if before else now_ms)
        return True
