"""What `models` lists: aliases and the providers' own models, with their prices."""

import asyncio
from dataclasses import dataclass

from chatvault.cli.context import Context
from chatvault.cli.price_list import own_prices
from chatvault.cli.providers import providers_of
from chatvault.core.json_types import JsonObject
from chatvault.core.money import usd_text
from chatvault.daemon.prices import build_price_book
from chatvault.errors import ConfigError, ProviderError
from chatvault.providers.base import ModelInfo, Provider

_SECONDS = 20.0
_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """One name that can be asked for; prices are picodollars per token, None where there is none."""

    name: str
    routes: tuple[str, ...]
    is_alias: bool
    is_local: bool
    context_tokens: int | None = None
    input_picousd: int | None = None
    output_picousd: int | None = None

    def to_json(self) -> JsonObject:
        """Return the model as JSON."""
        return {
            "name": self.name,
            "routes": list(self.routes),
            "alias": self.is_alias,
            "local": self.is_local,
            "context_tokens": self.context_tokens,
            "usd_per_mtok": {"input": _mtok(self.input_picousd), "output": _mtok(self.output_picousd)},
        }

    def cells(self) -> tuple[str, ...]:
        """Return the model as a table's row."""
        context = f"{self.context_tokens:,}" if self.context_tokens else "–"
        if self.is_local:
            return self.name, self._goes_to(), context, "local", "local"
        prices = (_mtok(each) or "no price" for each in (self.input_picousd, self.output_picousd))
        return self.name, self._goes_to(), context, *prices

    def _goes_to(self) -> str:
        return ", ".join(self.routes) if self.is_alias else ""


@dataclass(frozen=True, slots=True)
class Found:
    """The models there are, and what went wrong while asking."""

    models: tuple[Listed, ...]
    problems: tuple[str, ...]


async def collect(context: Context) -> Found:
    """Ask every provider, all at once. Raises ConfigError."""
    settings = context.settings(are_secrets_needed=True)
    book = build_price_book(own_prices(context))
    now_ms = context.now_ms()
    problems: list[str] = []
    lists: dict[str, tuple[ModelInfo, ...]] = {}
    is_local: dict[str, bool] = {}
    async with providers_of(context, settings) as providers:
        for name, provider in providers.items():
            if isinstance(provider, ConfigError):
                problems.append(f"{name}: {provider.message}")
            else:
                is_local[name] = provider.is_local
        built = {name: each for name, each in providers.items() if not isinstance(each, ConfigError)}
        answers = await asyncio.gather(*(_ask(each) for each in built.values()))
    for name, answer in zip(built, answers, strict=True):
        if isinstance(answer, str):
            problems.append(f"{name}: {answer}")
        else:
            lists[name] = answer

    def listed(name: str, routes: tuple[str, ...], info: ModelInfo | None, *, is_alias: bool) -> Listed:
        provider, _, model = routes[0].partition("/")
        at_home = is_local.get(provider, False)
        kind = settings.providers[provider].kind
        card = None if at_home else book.find(provider, kind, model, at_ms=now_ms)
        prices = card.tiers[0].prices if card is not None else None
        return Listed(
            name,
            routes,
            is_alias,
            at_home,
            info.context_tokens if info is not None else None,
            prices.input if prices is not None else None,
            prices.output if prices is not None else None,
        )

    infos = {f"{name}/{info.id}": info for name, models in lists.items() for info in models}
    found = [
        listed(name, alias.routes, infos.get(alias.routes[0]), is_alias=True)
        for name, alias in settings.models.items()
    ]
    found += [listed(route, (route,), info, is_alias=False) for route, info in infos.items()]
    return Found(tuple(found), tuple(problems))


async def _ask(provider: Provider) -> tuple[ModelInfo, ...] | str:
    try:
        async with asyncio.timeout(_SECONDS):
            return await provider.models()
    except ProviderError as exc:
        return exc.message
    except TimeoutError:
        return f"no answer within {_SECONDS:.0f} s"


def _mtok(picousd_per_token: int | None) -> str | None:
    return None if picousd_per_token is None else usd_text(picousd_per_token * _TOKENS, places=2)
