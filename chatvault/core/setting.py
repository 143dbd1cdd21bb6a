"""How a settings class declares a field: its default, one sentence of help, and its bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


def setting(default: Any, help: str) -> Any:
    """Declare a field of a settings dataclass.

    `help` is one sentence for people (also in config.example.yaml).
    """
    if isinstance(default, list | dict):
        raise TypeError("give a factory: setting_of(list, …)")
    return field(default=default, metadata={"help": help})


def setting_of(factory: Callable[[], Any], help: str) -> Any:
    """Declare a field whose default is made anew by `factory` (a nested settings class, a mapping)."""
    return field(default_factory=factory, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included: `port: Annotated[int, Range(1, 65535)]`.

    Without one a number may be anything from 0 up.
    """

    least: float
    most: float | None = None


@dataclass(frozen=True, slots=True)
class ByteSize:
    """Marks a whole number of bytes, which people may write with a unit: `20MB`, `1GiB`."""
