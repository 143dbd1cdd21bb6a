"""The address devices are told."""

from typing import Any

from chatvault.config.settings import Settings


def base_url(settings: Settings[Any]) -> str:
    """Return the gateway's address as devices use it, without a path.

    `public_url` goes first, then the tunnel's end on the relay, then where the gateway listens.
    """
    server, tunnel = settings.server, settings.tunnel
    if server.public_url:
        return server.public_url.rstrip("/").removesuffix("/v1")
    scheme = "https" if server.tls.cert is not None else "http"
    if tunnel.enabled and tunnel.host:
        return f"{scheme}://{_bracketed(tunnel.host)}:{tunnel.remote_port}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(server.host, server.host)
    return f"{scheme}://{_bracketed(host)}:{server.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
