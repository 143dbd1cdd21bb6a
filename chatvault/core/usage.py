"""How many tokens one call took, as the provider counted them."""

from dataclasses import dataclass
from enum import StrEnum

from chatvault.core.value import quickly_made


class UsageBasis(StrEnum):
    """Where the counts come from."""

    PROVIDER = "provider"
    ESTIMATED = "estimated"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of a model inside a call that is billed by itself (Anthropic's `usage.iterations`).

    `model` is the provider's id where it differs from the one that was asked (an advisor's), else None.
    """

    usage: "Usage"
    model: str | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens one call took. Unknown is None, not 0.

    The counts nest, so that no reader can add a token twice: `input_tokens` includes `cached_tokens` (read
    from a cache) and `cache_write_tokens` (written to one; `cache_write_1h_tokens` of them for an hour, the
    rest for five minutes); `output_tokens` includes `reasoning_tokens`.

    `modifiers` are the provider's price modifiers in force, such as `speed:fast`, `geo:us` or `tier:batch`.
    `passes` is empty for an ordinary call; else it lists the runs whose counts the fields above sum up, each
    to be priced by itself.
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    web_searches: int = 0
    modifiers: tuple[str, ...] = ()
    passes: tuple[Pass, ...] = ()
    basis: UsageBasis = UsageBasis.PROVIDER

    def __post_init__(self) -> None:
        least = min(
            self.input_tokens or 0,
            self.cached_tokens or 0,
            self.cache_write_tokens or 0,
            self.cache_write_1h_tokens or 0,
            self.output_tokens or 0,
            self.reasoning_tokens or 0,
        )
        if least < 0:
            wrong = next(
                name for name in self.__slots__ if name.endswith("_tokens") and (getattr(self, name) or 0) < 0
            )
            raise ValueError(f"{wrong} can't be negative: {least}")

    @property
    def is_to_be_estimated(self) -> bool:
        """Whether the output wasn't counted, or what was said of the input can't be a count.

        An input of which nothing was said stays unknown.
        """
        if self.output_tokens is None:
            return True
        return self.input_tokens is None and self.basis is UsageBasis.ESTIMATED


NO_USAGE = Usage(basis=UsageBasis.NONE)
