"""How a link ends, or an attempt at one: by itself, or because another is wanted, or none."""

from dataclasses import dataclass
from typing import TypeAlias

from chatvault.tunnel.faults import Fault
from chatvault.tunnel.link import Link
from chatvault.tunnel.listener import Doorway


@dataclass(frozen=True, slots=True)
class Turn:
    """Why what is kept is not what is wanted any more; None: a person said so, which needs no reason.

    Running answers may take `drain_seconds` to end; then they are cut.
    """

    why: Fault | None = None
    drain_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """It ended by itself, after it had been up for so long; None where it never was. Another is tried."""

    fault: Fault
    up_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Parted:
    """A turn put an end to it. What is up still is seen out; then that is done which is wanted by now."""

    standing: tuple[Link, Doorway] | None = None


LinkEnd: TypeAlias = Lost | Parted
