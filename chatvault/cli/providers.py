"""The providers, built for one command and closed after it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from chatvault.cli.context import Context
from chatvault.config.settings import Settings
from chatvault.daemon.providers import build_provider
from chatvault.errors import ConfigError
from chatvault.providers.base import Provider, ProviderSettings, Resources


async def check_providers(context: Context, settings: Settings[ProviderSettings]) -> None:
    """See whether every provider can be built, as `serve` will. Raises the first one's ConfigError."""
    async with providers_of(context, settings) as built:
        for each in built.values():
            if isinstance(each, ConfigError):
                raise each


@asynccontextmanager
async def providers_of(
    context: Context, settings: Settings[ProviderSettings]
) -> AsyncIterator[Mapping[str, Provider | ConfigError]]:
    """Build each provider; one that can't be built is its ConfigError instead."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        tasks.add(task)
        return task

    resources = Resources(context.environ, context.places.cache_dir, spawn, context.now_ms)
    built: dict[str, Provider | ConfigError] = {}
    for name, entry in settings.providers.items():
        try:
            built[name] = build_provider(entry, settings.path, resources)
        except ConfigError as exc:
            built[name] = exc
    try:
        yield built
    finally:
        for provider in built.values():
            if not isinstance(provider, ConfigError):
                await provider.aclose()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
