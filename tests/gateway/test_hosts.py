"""Tests of the names the gateway answers to."""

import pytest

from chatvault.errors import ConfigError
from chatvault.gateway.hosts import Hosts, host_of_url

HOSTS = Hosts(["gw.example.org", "*.home.example", "203.0.113.9", "2001:db8::9", "127.0.0.1"])


@pytest.mark.parametrize(
    "header",
    [
        b"localhost",
        b"LocalHost:4000",
        b"localhost.:4000",
        b"127.0.0.1:4000",
        b"127.1.2.3",
        b"[::1]:4000",
        b"[::1]",
        b"[0:0:0:0:0:0:0:1]:80",
        b"gw.example.org",
        b"GW.example.org.:8443",
        b"box.home.example",
        b"203.0.113.9:4000",
        b"[2001:db8::9]:4000",
        b"[2001:DB8:0::9]",
    ],
)
def test_loopback_and_the_names_of_the_settings_are_ours(header: bytes) -> None:
    assert HOSTS.allows(header)
    assert HOSTS.allows(header), "remembered, it is ours all the same"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"evil.example",
        b"localhost.evil.example",
        b"evil.example:4000",
        b"home.example",
        b".home.example",
        b"gw.example.org.evil.example",
        b"gw.example.org@evil.example",
        b"evil.example#localhost",
        b"localhost:4000:4000",
        b"localhost:http",
        b"localhost:\xb2",
        b"localhost, evil.example",
        b"203.0.113.10",
        b"0.0.0.0:4000",
        b"[::2]",
        b"[::1",
        b"[::1]evil",
        b"0x7f.1",
        b"127.1",
        b"\xff\xfe",
    ],
)
def test_every_other_name_is_not(header: bytes) -> None:
    assert not HOSTS.allows(header)


@pytest.mark.parametrize("name", ["*", "", "https://gw.example.org", "*.*.example.org", "a:b:c", "[::1"])
def test_what_is_no_name_is_an_error_of_the_settings(name: str) -> None:
    with pytest.raises(ConfigError, match="is no host name"):
        Hosts([name])


def test_the_address_a_connection_came_in_on_is_ours() -> None:
    hosts = Hosts(["0.0.0.0"])
    assert not hosts.allows(b"192.0.2.4:4000")
    assert hosts.allows(b"192.0.2.4:4000", own="192.0.2.4")
    assert not hosts.allows(b"192.0.2.5:4000", own="192.0.2.4")


def test_what_is_remembered_is_bounded() -> None:
    hosts = Hosts()
    for port in range(5000):
        assert hosts.allows(b"localhost:%d" % port)
    assert len(hosts.seen) <= 256


@pytest.mark.parametrize("url", ["https://gw.example.org:8443/v1", "gw.example.org", "gw.example.org:4000"])
def test_the_host_of_a_url_is_found(url: str) -> None:
    assert host_of_url(url) == "gw.example.org"
