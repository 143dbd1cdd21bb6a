"""How a settings class declares a field: its default, and one sentence of help."""

from collections.abc import Callable
from dataclasses import field
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
