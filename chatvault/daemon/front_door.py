"""The gateway's front door as the settings have it by now: the names it answers to, and its certificate."""

import asyncio
import logging

from chatvault.core.health import Health
from chatvault.daemon.engine import now_ms
from chatvault.daemon.following import AnySettings, Step
from chatvault.daemon.http_server import HttpServer
from chatvault.daemon.public_side import PublicSide, certificates_of, hosts_of
from chatvault.daemon.supervisor import Supervisor
from chatvault.gateway.hosts import Hosts
from chatvault.gateway.tls import Certificates
from chatvault.store.writer import Store

_log = logging.getLogger("chatvault.tls")
_CONDITION = "tls"


class FrontDoor:
    """Keep `public` at work before `server`, and have both follow the settings."""

    def __init__(
        self,
        public: PublicSide,
        server: HttpServer,
        settings: AnySettings,
        *,
        supervisor: Supervisor,
        health: Health,
    ) -> None:
        self._public = public
        self._server = server
        self._tls = settings.server.tls
        # Where it listens, whatever the file says by now.
        self._host = settings.server.host
        self._supervisor = supervisor
        self._health = health
        self._watch: asyncio.Task[None] | None = None

    def start(self, store: Store) -> None:
        """Begin to guard, to watch the certificate's files, and to write down who failed to log in."""
        self._supervisor.supervised(self._public.guard.run, "guard")
        self._supervisor.supervised(lambda: self._public.logins.keep_audit(store.record), "failed logins")
        self._watch_certificate()

    async def prepare(self, settings: AnySettings) -> Step:
        """Load the certificate of new settings. Raises ConfigError where it can't be used."""
        before, certificates = self._server.certificates, self._server.certificates
        effect = None
        if settings.server.tls != self._tls:
            certificates = await asyncio.to_thread(certificates_of, settings)
            effect = "off" if certificates is None else "on" if before is None else "replaced"
        hosts = hosts_of(settings, listening_at=self._host)
        return Step(lambda: self._take(settings, certificates, hosts), effect)

    def _take(self, settings: AnySettings, certificates: Certificates | None, hosts: Hosts) -> None:
        self._tls = settings.server.tls
        self._public.guard.hosts = hosts
        if certificates is self._server.certificates:
            return
        self._server.use(certificates)
        self._tell(None)
        self._watch_certificate()
        if certificates is None:
            _log.warning("HTTPS is off from now on: server.tls is not set any more")
        else:
            _log.info("HTTPS with another certificate, valid until %s", certificates.facts.not_after.date())

    def _watch_certificate(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        certificates = self._server.certificates
        self._watch = None
        if certificates is not None:
            self._watch = self._supervisor.supervised(
                lambda: certificates.keep_fresh(self._tell), "certificate"
            )

    def _tell(self, problem: str | None) -> None:
        self._health.report(_CONDITION, problem, now_ms=now_ms())
