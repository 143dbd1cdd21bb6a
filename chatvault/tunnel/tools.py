"""What the tunnel asks of the world around it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What the tunnel asks of the world: the clock (s), the wall clock (ms), chance in [0, 1), nonces."""

    clock: Callable[[], float]
    now_ms: Callable[[], int]
    chance: Callable[[], float]
    nonce: Callable[[], str]
