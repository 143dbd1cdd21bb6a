"""The addresses that people and devices are told: the local one, and the one through the tunnel."""

from chatvault.config.settings import Settings
from chatvault.daemon.http_server import HttpServer
from chatvault.providers.base import ProviderSettings


def base_url(server: HttpServer) -> str:
    """Return the base URL on this machine."""
    host, port = server.addresses[0]
    host = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host
    return f"{'https' if server.is_tls else 'http'}://{_bracketed(host)}:{port}/v1"


def device_url(settings: Settings[ProviderSettings], server: HttpServer) -> str:
    """Return the base URL that devices are told: the tunnel's or `public_url`, else the local one."""
    url = None
    if settings.tunnel.enabled or settings.server.public_url is not None:
        url = public_url(settings, is_tls=server.is_tls)
    return base_url(server) if url is None else f"{url.removesuffix('/v1')}/v1"


def public_url(settings: Settings[ProviderSettings], *, is_tls: bool) -> str | None:
    """Return the address devices use through the tunnel, None where there is none."""
    if settings.server.public_url is not None:
        return settings.server.public_url.rstrip("/")
    tunnel = settings.tunnel
    if tunnel.host is None:
        return None
    return f"{'https' if is_tls else 'http'}://{_bracketed(tunnel.host)}:{tunnel.remote_port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
