"""What stands between the network and the gateway, made after the settings."""

import time
from dataclasses import dataclass

from chatvault.config.settings import Settings
from chatvault.gateway.cors import Cors
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts, host_of_url
from chatvault.gateway.throttle import LoginThrottle
from chatvault.gateway.tls import Certificates
from chatvault.providers.base import ProviderSettings


@dataclass(frozen=True, slots=True)
class PublicSide:
    """The guard of all connections, the answers to failed logins and to other origins' pages, the TLS."""

    guard: Guard
    logins: LoginThrottle
    cors: Cors
    certificates: Certificates | None


def build_public_side(settings: Settings[ProviderSettings]) -> PublicSide:
    """Return it as the settings want it. Raises ConfigError: certificates and origins are looked at."""
    tls = settings.server.tls
    return PublicSide(
        _guard(settings),
        LoginThrottle(time.monotonic),
        Cors(settings.server.cors_origins),
        Certificates(tls.cert, tls.key) if tls.cert is not None and tls.key is not None else None,
    )


def _guard(settings: Settings[ProviderSettings]) -> Guard:
    server = settings.server
    names = [server.host, *server.allowed_hosts]
    if server.public_url:
        names.append(host_of_url(server.public_url))
    if settings.tunnel.host:
        names.append(settings.tunnel.host)
    limits = GuardLimits(
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        max_body_bytes=server.max_body_bytes,
    )
    return Guard(limits, Hosts(names))
