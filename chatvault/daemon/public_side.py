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
    server = settings.server
    limits = GuardLimits(
        max_connections=server.max_connections,
        max_connections_per_address=server.max_connections_per_address,
        max_body_bytes=server.max_body_bytes,
    )
    return PublicSide(
        Guard(limits, hosts_of(settings, listening_at=server.host)),
        LoginThrottle(time.monotonic),
        Cors(server.cors_origins),
        certificates_of(settings),
    )


def certificates_of(settings: Settings[ProviderSettings]) -> Certificates | None:
    """Load the certificate that the settings name, if any. Raises ConfigError."""
    tls = settings.server.tls
    return None if tls.cert is None or tls.key is None else Certificates(tls.cert, tls.key)


def hosts_of(settings: Settings[ProviderSettings], *, listening_at: str) -> Hosts:
    """Return the names that the gateway answers to."""
    server = settings.server
    names = [listening_at, *server.allowed_hosts]
    if server.public_url:
        names.append(host_of_url(server.public_url))
    if settings.tunnel.host:
        names.append(settings.tunnel.host)
    return Hosts(names)
