"""The kinds of provider there are: a kind's module is imported when it is asked for, and not before."""

from difflib import get_close_matches
from importlib import import_module
from typing import Protocol, cast

from chatvault.errors import ConfigError
from chatvault.providers.base import Provider, ProviderSettings, Resources

KINDS: tuple[str, ...] = ("ollama", "anthropic", "deepseek", "openai_compatible", "embedded", "echo")


class _Module(Protocol):
    Settings: type[ProviderSettings]

    def build(self, name: str, settings: ProviderSettings, resources: Resources) -> Provider: ...


def settings_type(kind: str) -> type[ProviderSettings]:
    """Return the settings class of `kind`. Raises ConfigError for an unknown one."""
    return _module(kind).Settings


def build(kind: str, name: str, settings: ProviderSettings, resources: Resources) -> Provider:
    """Build the provider `name` of `kind`.

    Raises ConfigError for an unknown kind, and where settings or an optional dependency are missing.
    """
    return _module(kind).build(name, settings, resources)


def _module(kind: str) -> _Module:
    if kind not in KINDS:
        near = get_close_matches(kind, KINDS, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"unknown kind of provider {kind!r}", hint=f"{guess}known kinds: {', '.join(KINDS)}"
        )
    return cast(_Module, import_module(f"chatvault.providers.{kind}"))
