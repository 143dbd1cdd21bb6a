import pytest

from chatvault.providers.http.address import Address
from chatvault.providers.http.faults import ProxyRefused
from chatvault.providers.http.proxy import find_proxy, is_exempt, is_loopback, read_proxy

HTTP = Address("http", "host.example", 80)
HTTPS = Address("https", "host.example", 443)


@pytest.mark.parametrize(
    ("environ", "address", "expected"),
    [
        ({}, HTTP, None),
        ({"HTTP_PROXY": "http://p:1"}, HTTP, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, HTTPS, None),
        ({"HTTPS_PROXY": "http://p:1"}, HTTPS, "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, HTTPS, "http://p:1"),
        ({"all_proxy": "http://p:1", "https_proxy": "http://q:1"}, HTTPS, "http://q:1"),
        ({"HTTPS_PROXY": "http://P:1", "https_proxy": "http://q:1"}, HTTPS, "http://q:1"),
        ({"HTTPS_PROXY": "http://P:1", "https_proxy": ""}, HTTPS, None),
        ({"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, HTTP, None),
        ({"http_proxy": "http://p:1", "REQUEST_METHOD": "GET"}, HTTP, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, HTTPS, "http://p:1"),
        ({"ALL_PROXY": "http://p:1", "NO_PROXY": "other, host.example"}, HTTPS, None),
        ({"ALL_PROXY": "http://p:1", "no_proxy": "", "NO_PROXY": "*"}, HTTPS, "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, Address("http", "localhost", 80), None),
        ({"ALL_PROXY": "http://p:1"}, Address("http", "127.0.0.1", 80), None),
    ],
)
def test_the_environment_names_the_proxy(
    environ: dict[str, str], address: Address, expected: str | None
) -> None:
    assert find_proxy(address, environ) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy", "expected"),
    [
        ("host.example", "*", True),
        ("host.example", "host.example", True),
        ("host.example", "HOST.Example", True),
        ("host.example", ".example", True),
        ("host.example", "example", True),
        ("host.example", "*.example", True),
        ("host.example", "example.", True),
        ("host.example.", "host.example", True),
        ("notexample", "example", False),
        ("host.example", "ost.example", False),
        ("example", ".example", True),
        ("host.example", "host.example:443", True),
        ("host.example", "host.example:80", False),
        ("host.example", "a b,,host.example", True),
        ("host.example", "", False),
        ("host.example", ",. ,*.", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("10.1.2.3", "10.1.2.3:80", False),
        ("10.1.2.3", "2.3", False),
        ("host.example", "10.0.0.0/8", False),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "[fd00::1]:80", False),
        ("fd00::1", "fd00:0:0::1", True),
        ("fd00::1", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_exempts_servers(host: str, no_proxy: str, expected: bool) -> None:
    assert is_exempt(Address("https", host, 443), no_proxy) is expected


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "a.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::ffff:127.0.0.1",
        "0.0.0.0",
        "::",
    ],
)
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example", "notlocalhost", "128.0.0.1", "::2", "10.0.0.1"])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://p.example:3128", Address("http", "p.example", 3128)),
        ("p.example:3128", Address("http", "p.example", 3128)),
        ("http://p.example", Address("http", "p.example", 80)),
        ("https://p.example", Address("https", "p.example", 443)),
        ("http://[::1]:3128/", Address("http", "::1", 3128)),
    ],
)
def test_a_proxys_address_is_read(url: str, address: Address) -> None:
    assert read_proxy(url).address == address


def test_a_proxys_login_is_sent_and_not_shown() -> None:
    proxy = read_proxy("http://me:s%3Acret@p.example:3128")
    assert proxy.authorization == b"Basic bWU6czpjcmV0"
    assert "bWU6" not in repr(proxy)


@pytest.mark.parametrize(
    "url", ["socks5://me:secret@p:1080", "socks5h://p:1080", "http://:3128", "http://p:x", "ftp://p"]
)
def test_a_proxy_of_another_kind_is_refused_clearly(url: str) -> None:
    with pytest.raises(ProxyRefused) as caught:
        read_proxy(url)
    assert caught.value.hint
    assert "secret" not in str(caught.value)
