"""From the model name a client sends to the routes that may answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Route:
    """A provider and the name it knows the model by; `is_local` providers run at home."""

    provider: str
    model: str
    is_local: bool

    @property
    def name(self) -> str:
        """PROVIDER/NAME, as a client may write it."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Unknown:
    """No route leads to this name; `rivals` are the routes of a bare name that several providers list."""

    rivals: tuple[str, ...] = ()


def parse_route(text: str, *, locals_by_provider: Mapping[str, bool]) -> Route | None:
    """Return the route that PROVIDER/NAME names, or None where there is no such provider."""
    provider, slash, model = text.partition("/")
    if not slash or not model or provider not in locals_by_provider:
        return None
    return Route(provider, model, locals_by_provider[provider])


def resolve(
    name: str,
    *,
    aliases: Mapping[str, Sequence[Route]],
    locals_by_provider: Mapping[str, bool],
    listed: Mapping[str, Sequence[str]],
) -> tuple[Route, ...] | Unknown:
    """Return the routes for `name`, in the order they are to be tried.

    An alias wins; then PROVIDER/NAME, whatever that provider lists; then a bare name that exactly one
    provider lists. `listed` maps a model's name to the providers that list it.
    """
    alias = aliases.get(name)
    if alias is not None:
        return tuple(alias)
    route = parse_route(name, locals_by_provider=locals_by_provider)
    if route is not None:
        return (route,)
    providers = [provider for provider in listed.get(name, ()) if provider in locals_by_provider]
    if len(providers) == 1:
        return (Route(providers[0], name, locals_by_provider[providers[0]]),)
    return Unknown(tuple(f"{provider}/{name}" for provider in sorted(providers)))
