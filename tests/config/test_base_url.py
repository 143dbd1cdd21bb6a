"""The address devices are told."""

from dataclasses import replace
from pathlib import Path

import pytest

from chatvault.config.base_url import base_url
from chatvault.config.settings import ServerSettings, Settings, TlsSettings, TunnelSettings

TLS = TlsSettings(cert=Path("c"), key=Path("k"))
ALL: Settings[object] = Settings(path=Path("c.yaml"))


@pytest.mark.parametrize(
    ("server", "tunnel", "url"),
    [
        (ServerSettings(), TunnelSettings(), "http://127.0.0.1:4000"),
        (ServerSettings(host="0.0.0.0", port=1), TunnelSettings(), "http://127.0.0.1:1"),
        (ServerSettings(host="::", tls=TLS), TunnelSettings(), "https://[::1]:4000"),
        (ServerSettings(), TunnelSettings(enabled=True, host="relay.example"), "http://relay.example:4000"),
        (ServerSettings(), TunnelSettings(enabled=False, host="relay.example"), "http://127.0.0.1:4000"),
        (ServerSettings(public_url="https://h.example/v1"), TunnelSettings(), "https://h.example"),
        (ServerSettings(public_url="https://h.example/"), TunnelSettings(), "https://h.example"),
    ],
)
def test_the_outermost_address_counts(server: ServerSettings, tunnel: TunnelSettings, url: str) -> None:
    assert base_url(replace(ALL, server=server, tunnel=tunnel)) == url
