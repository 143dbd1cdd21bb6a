"""The address devices are told."""

from typing import Any
from urllib.parse import urlsplit

from chatvault.config.settings import Settings


def base_url(settings: Settings[Any]) -> str:
    """Return the gateway's address as devices use it, without the API's `/v1`.

    `public_url` goes first, then the end of a tunnel that is kept up, then where the gateway listens.
    """
    server = settings.server
    found = public_url(settings) if server.public_url or settings.tunnel.enabled else None
    if found is not None:
        return found
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(server.host, server.host)
    return f"{_scheme(settings)}://{bracketed(host)}:{server.port}"


def public_url(settings: Settings[Any]) -> str | None:
    """Return the address devices use from elsewhere, without the API's `/v1`: `public_url`, else the relay's.

    None where the settings name neither.
    """
    if settings.server.public_url:
        return _bare(settings.server.public_url)
    tunnel = settings.tunnel
    if not tunnel.host:
        return None
    return f"{_scheme(settings)}://{bracketed(tunnel.host)}:{tunnel.remote_port}"


def bracketed(host: str) -> str:
    """Return a host as a URL has it."""
    return f"[{host}]" if ":" in host else host


def _scheme(settings: Settings[Any]) -> str:
    return "https" if settings.server.tls.cert is not None else "http"


def _bare(url: str) -> str:
    """Take slashes at the end and the API's `/v1` away: people write one, the other, both or neither."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return parts._replace(path=path).geturl()
