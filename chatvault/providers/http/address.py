"""Which server a URL means: its scheme, host and port, and nothing secret."""

import ipaddress
from base64 import b64encode
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from chatvault.errors import ConfigError

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Address:
    """An origin; `host` is lower case, ASCII and without the brackets of an IPv6 literal."""

    scheme: str
    host: str
    port: int

    @property
    def is_tls(self) -> bool:
        """Whether bytes to it are encrypted."""
        return self.scheme == "https"

    @property
    def label(self) -> str:
        """`host:port`, as errors name it."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def authority(self) -> str:
        """What the `Host` header says: without the scheme's own port, and without an IPv6 zone."""
        host = bracketed(self.host.partition("%")[0])
        return host if DEFAULT_PORTS[self.scheme] == self.port else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A URL that paths are added to: `prefix` is "" or starts with a slash and ends without one."""

    address: Address
    prefix: str
    authorization: bytes | None = field(repr=False)


def bracketed(host: str) -> str:
    """Return the host as it stands in a URL: IPv6 literals in brackets."""
    return f"[{host}]" if ":" in host else host


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that `host` spells, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def read_base_url(url: str) -> BaseUrl:
    """Read a `http(s)://[user:password@]host[:port][/prefix]`. Raises ConfigError, without the password."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as exc:
        raise ConfigError("base_url: this is no URL", hint="write it as http://HOST:PORT") from exc
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise ConfigError(
            f"base_url: {without_credentials(parts)!r} does not begin with http:// or https:// and a host",
            hint="write it as http://HOST:PORT or https://HOST",
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"base_url: {without_credentials(parts)!r} must end with its path")
    prefix = parts.path.rstrip("/")
    if not (prefix.isascii() and prefix.isprintable()) or " " in prefix:
        raise ConfigError("base_url: the path holds a blank, or what is not ASCII", hint="write it as %XX")
    address = Address(parts.scheme, ascii_host(parts.hostname), port or DEFAULT_PORTS[parts.scheme])
    return BaseUrl(address, prefix, basic_authorization(parts))


def ascii_host(host: str) -> str:
    """Return the host in the letters DNS has. Raises ConfigError for what can't be a host."""
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise ConfigError(f"base_url: {host!r} can't be a host's name") from exc
    if not name.isprintable() or " " in name:
        raise ConfigError(f"base_url: {host!r} can't be a host's name")
    return name.lower()


def without_credentials(parts: SplitResult) -> str:
    """Return the URL without user and password: fit for errors and logs."""
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return shown.rpartition("@")[2]


def basic_authorization(parts: SplitResult) -> bytes | None:
    """Return the value of an Authorization header for a URL's user and password (RFC 7617), if it has any."""
    if parts.username is None and parts.password is None:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return b"Basic " + b64encode(f"{user}:{password}".encode())
