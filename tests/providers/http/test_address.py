import pytest

from chatvault.errors import ConfigError
from chatvault.providers.http.address import Address, read_base_url


@pytest.mark.parametrize(
    ("url", "address", "prefix", "authority"),
    [
        ("http://127.0.0.1:11434", Address("http", "127.0.0.1", 11434), "", "127.0.0.1:11434"),
        ("https://api.example.com", Address("https", "api.example.com", 443), "", "api.example.com"),
        ("https://API.Example.com/v1/", Address("https", "api.example.com", 443), "/v1", "api.example.com"),
        ("http://host:80/a/b", Address("http", "host", 80), "/a/b", "host"),
        ("http://host:443", Address("http", "host", 443), "", "host:443"),
        ("http://[::1]:8080", Address("http", "::1", 8080), "", "[::1]:8080"),
        ("http://[fe80::1%eth0]", Address("http", "fe80::1%eth0", 80), "", "[fe80::1]"),
        (
            "https://bücher.example",
            Address("https", "xn--bcher-kva.example", 443),
            "",
            "xn--bcher-kva.example",
        ),
        (" http://host ", Address("http", "host", 80), "", "host"),
    ],
)
def test_a_url_is_read(url: str, address: Address, prefix: str, authority: str) -> None:
    base = read_base_url(url)
    assert base.address == address
    assert base.prefix == prefix
    assert base.address.authority == authority
    assert base.authorization is None


def test_a_label_names_host_and_port() -> None:
    assert read_base_url("https://[::1]").address.label == "[::1]:443"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:11434",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "http://host/?key=1",
        "http://host/#part",
        "http://host/a b",
        "http://host/ü",
        "http://" + "a" * 70 + "ü.example",
        "http://a b/",
    ],
)
def test_what_cannot_be_a_base_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        read_base_url(url)


def test_user_and_password_become_a_header_and_show_nowhere() -> None:
    base = read_base_url("https://user:p%40ss@host/v1")
    assert base.authorization == b"Basic dXNlcjpwQHNz"
    assert "user" not in repr(base)
    assert "dXNl" not in repr(base)


@pytest.mark.parametrize("url", ["ftp://me:secret@host", "http://me:secret@host/?q=1", "me:secret@host"])
def test_an_error_about_a_url_keeps_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_base_url(url)
    assert "secret" not in str(caught.value)
