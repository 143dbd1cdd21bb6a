"""The gateway as the settings want it: an engine that answers requests, and the routes that lead to it."""

import time
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from chatvault import __version__
from chatvault.config.local_zone import local_zone
from chatvault.config.places import Places
from chatvault.core.accounts import Accounts
from chatvault.daemon.engine import Engine, build_engine, now_ms
from chatvault.daemon.following import AnySettings
from chatvault.daemon.price_desk import PriceDesk
from chatvault.daemon.public_side import PublicSide
from chatvault.daemon.supervisor import Supervisor
from chatvault.gateway.app import AsgiApp, ChatRoute, Gateway
from chatvault.gateway.auth import Doorkeeper
from chatvault.gateway.call import RunningCalls
from chatvault.gateway.heartbeat import Heartbeat
from chatvault.gateway.lazy_api import LazyApi
from chatvault.store.content import ContentVault
from chatvault.store.writer import Store
from chatvault.tunnel.probe import Identity


class Assembly:
    """Build engines, and point the gateway at them; what outlives a reload is kept here."""

    def __init__(
        self,
        places: Places,
        store: Store,
        accounts: Accounts,
        prices: PriceDesk,
        *,
        public: PublicSide,
        supervisor: Supervisor,
        environ: Mapping[str, str],
    ) -> None:
        self._places = places
        self._store = store
        self._accounts = accounts
        self._prices = prices
        self._public = public
        self._supervisor = supervisor
        self._environ = environ
        self.running = RunningCalls()
        self.doorkeeper = Doorkeeper(now_ms)
        self.heartbeat = Heartbeat(supervisor.spawn)
        self.vault = ContentVault(places.keys_dir)

    def engine(self, settings: AnySettings, old: Engine | None = None) -> Engine:
        """Build an engine, with what `old` has and may be kept. Raises ConfigError."""
        return build_engine(
            settings,
            self._store,
            self._accounts,
            self._supervisor,
            self.heartbeat,
            vault=self.vault,
            environ=self._environ,
            cache_dir=self._places.cache_dir,
            own_prices=self._prices.own,
            old=old,
        )

    def gateway(self, engine: Engine, settings: AnySettings, identity: Identity) -> Gateway:
        """Return the app over `engine`, which also answers for `identity` when the outside check asks."""
        routes = self._routes(engine, settings)
        return Gateway(*routes, cors=self._public.cors, probe=identity.mark)

    def install(self, gateway: Gateway, engine: Engine, settings: AnySettings) -> None:
        """Have `gateway` answer with another engine from the next request on."""
        gateway.use(*self._routes(engine, settings))
        self._accounts.calendar.use(zone_of(settings, self._environ))

    def _routes(self, engine: Engine, settings: AnySettings) -> tuple[ChatRoute, AsgiApp]:
        """Return the hot route, and the app behind it for every other one."""
        chat = ChatRoute(
            doorkeeper=self.doorkeeper,
            relay=engine.relay,
            books=engine.books,
            running=self.running,
            logins=self._public.logins,
            now_ms=now_ms,
            clock=time.monotonic,
            max_body_bytes=settings.server.max_body_bytes,
        )

        def build() -> AsgiApp:
            from chatvault.gateway.api import build_api

            return build_api(
                chat=chat,
                doorkeeper=self.doorkeeper,
                catalog=engine.catalog,
                now_ms=now_ms,
                version=__version__,
                logins=self._public.logins,
            )

        return chat, LazyApi(build)


def zone_of(settings: AnySettings, environ: Mapping[str, str]) -> ZoneInfo:
    """Return the zone whose days are counted."""
    zone = settings.usage.timezone
    return local_zone(environ) if zone == "local" else zone
