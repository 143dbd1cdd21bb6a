"""The addresses that people and devices are told: the local one, and the one through the tunnel."""

from chatvault.config.base_url import bracketed, public_url
from chatvault.config.settings import Settings
from chatvault.daemon.http_server import HttpServer
from chatvault.providers.base import ProviderSettings


def base_url(server: HttpServer) -> str:
    """Return the base URL on this machine."""
    host, port = server.addresses[0]
    host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
    return f"{'https' if server.is_tls else 'http'}://{bracketed(host)}:{port}/v1"


def device_url(settings: Settings[ProviderSettings], server: HttpServer) -> str:
    """Return the base URL that devices are told: the tunnel's or `public_url`, else the local one."""
    is_told = settings.tunnel.enabled or settings.server.public_url
    url = public_url(settings) if is_told else None
    return base_url(server) if url is None else f"{url}/v1"
