"""What an access token, a user, or all of them together may use."""

from dataclasses import dataclass

from chatvault.core.budget import Budget, budget


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be used; None is no limit."""

    budget: Budget | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute", "concurrency"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")


NO_LIMITS = Limits()


def written_limits(
    budget_text: str | None,
    *,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrency: int | None,
) -> Limits:
    """Return limits as they are written down with an access token or a user. Raises ValueError."""
    parsed = None if budget_text is None else budget(budget_text)
    return Limits(parsed, requests_per_minute, tokens_per_minute, concurrency)
