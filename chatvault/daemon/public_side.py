"""What stands between the network and the gateway, made after the settings."""

from chatvault.config.settings import Settings
from chatvault.gateway.guard import Guard, GuardLimits
from chatvault.gateway.hosts import Hosts, host_of_url
from chatvault.providers.base import ProviderSettings


def build_guard(settings: Settings[ProviderSettings]) -> Guard:
    """Return the guard for every connection, a socket's or a tunnel's."""
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
