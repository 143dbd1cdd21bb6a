"""What is built from the settings: providers, prices, the catalog, and the relay over them."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chatvault.config.limits import limits_of
from chatvault.config.prices import price_overrides
from chatvault.config.settings import Settings
from chatvault.core.accounts import Accounts
from chatvault.core.pricing import Override, PriceBook, RateCard
from chatvault.core.routing import Route, parse_route
from chatvault.daemon.prices import build_price_book
from chatvault.daemon.providers import build_provider
from chatvault.daemon.supervisor import Supervisor
from chatvault.gateway.admission import Admission
from chatvault.gateway.books import Books
from chatvault.gateway.catalog import Catalog
from chatvault.gateway.contents import Contents
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.places import Places
from chatvault.gateway.planning import Planner
from chatvault.gateway.price_list import PriceList
from chatvault.gateway.relay import Relay
from chatvault.providers.base import Provider, ProviderSettings, Resources
from chatvault.store.content import ContentVault
from chatvault.store.writer import Store


def now_ms() -> int:
    """Return the time, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything that takes a request from its body to its answer."""

    providers: Mapping[str, Provider]
    places: Mapping[str, Places]
    catalog: Catalog
    prices: PriceBook
    books: Books
    relay: Relay

    settings: Settings[ProviderSettings]

    async def aclose(self, *, keep: Iterable[Provider] = ()) -> None:
        """Close the providers' connections and end their processes, but for those in `keep`."""
        kept = {id(provider) for provider in keep}
        for provider in self.providers.values():
            if id(provider) not in kept:
                await provider.aclose()


def build_engine(
    settings: Settings[ProviderSettings],
    store: Store,
    accounts: Accounts,
    supervisor: Supervisor,
    heartbeat: Heartbeat,
    *,
    vault: ContentVault,
    environ: Mapping[str, str],
    cache_dir: Path,
    own_prices: Sequence[Override] = (),
    old: Engine | None = None,
) -> Engine:
    """Build the engine. Raises ConfigError.

    Providers that `old` has with the same settings are taken over, with the requests they have in flight.
    """
    resources = Resources(environ, cache_dir, supervisor.spawn, now_ms)
    kept = {
        name
        for name, entry in settings.providers.items()
        if old is not None and old.settings.providers.get(name) == entry
    }
    providers = {
        name: old.providers[name]
        if old is not None and name in kept
        else build_provider(entry, settings.path, resources)
        for name, entry in settings.providers.items()
    }
    places = {
        name: old.places[name]
        if old is not None and name in kept
        else Places(name, limit=entry.settings.max_concurrency, queue_seconds=entry.settings.queue_seconds)
        for name, entry in settings.providers.items()
    }
    prices = build_price_book((*price_overrides(settings.prices), *own_prices))
    catalog = Catalog(providers, _aliases(settings, providers), clock=time.monotonic)
    if old is not None:
        catalog.inherit(old.catalog)

    def remember_card(card: RateCard) -> None:
        store.remember_rate_card(
            card.id, card.canonical_json(), provider=card.provider, model=card.model, source=card.source
        )

    price_list = PriceList(prices, remember_card)
    contents = Contents(store, vault, default=settings.audit.content, now_ms=now_ms)
    books = Books(store, price_list, now_ms=now_ms, clock=time.monotonic, contents=contents)
    planner = Planner(providers, price_list)
    accounts.limit_everyone(limits_of(settings.limits), int(time.monotonic() * 1000))
    admission = Admission(
        accounts,
        may_cut=settings.limits.when_short == "cut",
        blocks_unpriced=settings.prices.unknown_model == "block",
        clock=time.monotonic,
    )
    relay = Relay(
        catalog=catalog,
        planner=planner,
        admission=admission,
        books=books,
        places=places,
        heartbeat=heartbeat,
        clock=time.monotonic,
    )
    return Engine(providers, places, catalog, prices, books, relay, settings)


def _aliases(
    settings: Settings[ProviderSettings], providers: Mapping[str, Provider]
) -> dict[str, tuple[Route, ...]]:
    locals_by_provider = {name: provider.is_local for name, provider in providers.items()}
    aliases = {}
    for name, alias in settings.models.items():
        routes = (parse_route(text, locals_by_provider=locals_by_provider) for text in alias.routes)
        aliases[name] = tuple(route for route in routes if route is not None)
    return aliases
