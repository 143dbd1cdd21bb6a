"""Which proxy, if any, stands between here and a server, after the usual environment variables.

`http_proxy` and `https_proxy` by the scheme of the request, `all_proxy` where that is missing, `no_proxy` for
exceptions; lower case wins over upper case, and an empty value is none. `HTTP_PROXY` is ignored where
`REQUEST_METHOD` is set: under CGI a client's `Proxy:` header lands in it.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from chatvault.providers.http.address import (
    DEFAULT_PORTS,
    Address,
    basic_authorization,
    literal,
    without_credentials,
)
from chatvault.providers.http.faults import ProxyRefused


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy; `authorization` is the value of a Proxy-Authorization header."""

    address: Address
    authorization: bytes | None = field(default=None, repr=False)


def find_proxy(address: Address, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL for a server, or None to go there directly: always for this machine's own."""
    url = _variable(environ, f"{address.scheme}_proxy") or _variable(environ, "all_proxy")
    if not url or is_loopback(address.host) or is_exempt(address, _variable(environ, "no_proxy")):
        return None
    return url


def read_proxy(url: str) -> Proxy:
    """Read a proxy's URL; a bare `host:port` is an http proxy. Raises ProxyRefused, without the password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError as exc:
        raise ProxyRefused("the proxy's address is no URL", hint="write it as http://HOST:PORT") from exc
    if parts.scheme not in DEFAULT_PORTS:
        raise ProxyRefused(
            f"{without_credentials(parts)}: a {parts.scheme} proxy can't be used",
            hint="name an http proxy in HTTP_PROXY and HTTPS_PROXY, or this host in NO_PROXY",
        )
    if not parts.hostname:
        raise ProxyRefused("the proxy's address names no host", hint="write it as http://HOST:PORT")
    address = Address(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme])
    return Proxy(address, basic_authorization(parts))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or its literal address."""
    name = host.rstrip(".").partition("%")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = literal(name)
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and (address.is_loopback or address.is_unspecified)


def is_exempt(address: Address, no_proxy: str) -> bool:
    """Tell whether `no_proxy` names a server: by `*`, a name or a parent of it, address, network, port."""
    entries = no_proxy.lower().replace(",", " ").split()
    return any(_matches(address, entry) for entry in entries)


def _matches(address: Address, entry: str) -> bool:
    if entry == "*":
        return True
    host, port = _split_port(entry)
    if port is not None and port != str(address.port):
        return False
    ours = literal(address.host)
    if ours is not None:
        try:
            return ours in ipaddress.ip_network(host, strict=False)
        except ValueError:
            return False
    name = host.removeprefix("*").strip(".")
    ours_name = address.host.rstrip(".")
    return bool(name) and (ours_name == name or ours_name.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        host, _, port = entry[1:].partition("]")
        return host, port.removeprefix(":") or None
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port or None
    return entry, None


def _variable(environ: Mapping[str, str], name: str) -> str:
    if name in environ:
        return environ[name].strip()
    if name == "http_proxy" and "REQUEST_METHOD" in environ:
        return ""
    return environ.get(name.upper(), "").strip()
