"""Which models there are: the aliases of the settings, and what each provider lists."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chatvault.core.access import AccessToken
from chatvault.core.routing import Route, Unknown, resolve
from chatvault.errors import ProviderError, RequestError
from chatvault.providers.base import ModelInfo, Provider

_T = TypeVar("_T")
_log = logging.getLogger("chatvault.catalog")
# Local models come and go with an `ollama pull`; a paid provider's list changes a few times a year.
_LOCAL_SECONDS = 60.0
_REMOTE_SECONDS = 3600.0
# A name nobody knows asks again, but not more often than this: a scanner must not become a load.
_MISS_SECONDS = 5.0
# A request waits for news no longer than this; a provider that is silent is left to the next round.
_MISS_WAIT_SECONDS = 1.0
_ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A model as `/v1/models` shows it: the name to send, where it leads first, and what is known of it."""

    name: str
    route: Route
    info: ModelInfo | None


class Catalog:
    """Keep the aliases and the providers' lists, and turn a model's name into routes."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        aliases: Mapping[str, Sequence[Route]],
        *,
        clock: Callable[[], float],
    ) -> None:
        self.providers = providers
        self._aliases = {name: tuple(routes) for name, routes in aliases.items()}
        self._clock = clock
        self._locals = {name: provider.is_local for name, provider in providers.items()}
        self._lists: dict[str, tuple[ModelInfo, ...]] = {}
        self._asked_at: dict[str, float] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._by_model: dict[str, list[str]] = {}
        self._resolved: dict[str, tuple[Route, ...]] = {}
        self.failures: dict[str, str] = {}

    def inherit(self, old: "Catalog") -> None:
        """Take over what `old` has heard from the providers that both have."""
        for name, provider in self.providers.items():
            if old.providers.get(name) is not provider:
                continue
            _carry(name, old._lists, self._lists)
            _carry(name, old._asked_at, self._asked_at)
            _carry(name, old.failures, self.failures)
        self._index()

    async def routes(self, name: str, token: AccessToken) -> tuple[Route, ...]:
        """Return the routes for `name` that `token` may use. Raises RequestError (404 or 403)."""
        routes = self._resolved.get(name)
        if routes is None:
            routes = await self._resolve(name)
        if not token.models and not token.is_local_only:
            return routes
        allowed = tuple(route for route in routes if token.allows(name, route.name, is_local=route.is_local))
        if not allowed:
            raise RequestError(
                f"This access token may not use the model '{name}'.",
                status=403,
                code="model_not_allowed",
                param="model",
            )
        return allowed

    async def _resolve(self, name: str) -> tuple[Route, ...]:
        found = self._look_up(name)
        if isinstance(found, Unknown) and not found.rivals:
            await self.refresh(older_than=_MISS_SECONDS, wait_seconds=_MISS_WAIT_SECONDS)
            found = self._look_up(name)
        if isinstance(found, Unknown):
            raise _not_found(name, found)
        if len(self._resolved) < 10_000:
            self._resolved[name] = found
        return found

    def _look_up(self, name: str) -> tuple[Route, ...] | Unknown:
        return resolve(name, aliases=self._aliases, locals_by_provider=self._locals, listed=self._by_model)

    def listed(self, token: AccessToken) -> list[Listed]:
        """Return what `token` may use: the aliases first, then every provider's models as PROVIDER/NAME."""
        models = []
        for name, routes in self._aliases.items():
            for route in routes:
                if token.allows(name, route.name, is_local=route.is_local):
                    models.append(Listed(name, route, self.info(route)))
                    break
        for provider, infos in self._lists.items():
            for info in infos:
                route = Route(provider, info.id, self._locals[provider])
                if token.allows(info.id, route.name, is_local=route.is_local):
                    models.append(Listed(route.name, route, info))
        return models

    def count(self, provider: str) -> int | None:
        """Return how many models a provider lists, None before it was heard."""
        models = self._lists.get(provider)
        return None if models is None else len(models)

    def info(self, route: Route) -> ModelInfo | None:
        """Return what its provider said of a route's model, if it listed it."""
        for info in self._lists.get(route.provider, ()):
            if info.id == route.model:
                return info
        return None

    async def refresh(self, *, older_than: float | None = None, wait_seconds: float | None = None) -> None:
        """Ask each provider for its list if that is `older_than` seconds old, or due by its kind.

        Returns when all have answered, or after `wait_seconds`: who is still asked then goes on being asked.
        """
        now = self._clock()
        for name, provider in self.providers.items():
            due_after = older_than
            if due_after is None:
                due_after = _LOCAL_SECONDS if provider.is_local else _REMOTE_SECONDS
            asked_at = self._asked_at.get(name)
            if name not in self._asking and (asked_at is None or now - asked_at >= due_after):
                self._asked_at[name] = now
                task = asyncio.get_running_loop().create_task(self._ask(name), name=f"models of {name}")
                self._asking[name] = task
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=wait_seconds)

    async def keep_fresh(self) -> None:
        """Refresh the lists for as long as the daemon runs."""
        while True:
            await self.refresh()
            await asyncio.sleep(_LOCAL_SECONDS / 4)

    async def _ask(self, name: str) -> None:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                models = await self.providers[name].models()
        except TimeoutError:
            self.failures[name] = f"no answer within {_ASK_SECONDS:g} s"
            return
        except ProviderError as exc:
            # The last list stays: a provider that is down for a minute has not lost its models.
            if self.failures.get(name) != exc.message:
                _log.warning("%s: its models can't be listed: %s", name, exc.message)
            self.failures[name] = exc.message
            return
        finally:
            self._asking.pop(name, None)
        self.failures.pop(name, None)
        if self._lists.get(name) == models:
            return
        self._lists[name] = models
        self._index()

    def _index(self) -> None:
        self._resolved.clear()
        self._by_model = {}
        for provider, infos in self._lists.items():
            for info in infos:
                self._by_model.setdefault(info.id, []).append(provider)


def _carry(name: str, source: Mapping[str, _T], target: dict[str, _T]) -> None:
    if name in source:
        target[name] = source[name]


def _not_found(name: str, unknown: Unknown) -> RequestError:
    if unknown.rivals:
        message = f"Several providers have a model '{name}': say which, {' or '.join(unknown.rivals)}."
    else:
        message = f"The model '{name}' does not exist here. GET /v1/models lists those that do."
    return RequestError(message, status=404, code="model_not_found", param="model")
