"""The address devices are told."""

from dataclasses import replace
from pathlib import Path

import pytest

from chatvault.config.base_url import base_url, public_url
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


@pytest.mark.parametrize("end", ["", "/", "//", "/v1", "/v1/", "/v1//", "//v1/"])
@pytest.mark.parametrize(
    "start", ["https://h.example", "http://h.example:8443", "https://h.example/gw", "http://v1"]
)
def test_an_address_is_the_same_with_the_apis_path_and_without(start: str, end: str) -> None:
    settings = replace(ALL, server=ServerSettings(public_url=f"{start}{end}"))
    assert (base_url(settings), public_url(settings)) == (start, start)


def test_the_relay_is_an_address_while_its_tunnel_is_down_too() -> None:
    settings = replace(ALL, tunnel=TunnelSettings(enabled=False, host="2001:db8::5", remote_port=443))
    assert public_url(settings) == "http://[2001:db8::5]:443"
    assert public_url(replace(settings, server=ServerSettings(tls=TLS))) == "https://[2001:db8::5]:443"
    assert public_url(ALL) is None
