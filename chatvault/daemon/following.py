"""What a part of the daemon makes of reloaded settings: first whether it can follow, then how it does."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from chatvault.config.settings import Settings
from chatvault.providers.base import ProviderSettings

AnySettings: TypeAlias = Settings[ProviderSettings]


@dataclass(frozen=True, slots=True)
class Step:
    """What a part does about new settings: `take` does it, `effect` is the word for it, if any."""

    take: Callable[[], None]
    effect: str | None = None


Prepare: TypeAlias = Callable[[AnySettings], Awaitable[Step]]
"""Look at new settings, and return what is to be done. Raises ChatVaultError for what can't be used."""
