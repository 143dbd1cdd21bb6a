"""The names this gateway answers to.

A page from anywhere can have its own name resolve to 127.0.0.1 and so talk to a gateway behind the browser's
back (DNS rebinding); what gives it away is the Host header, which still names the page's own host.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from chatvault.errors import ConfigError

_REMEMBERED = 256


class Hosts:
    """Tell the Host headers that are ours: loopback, `names` and, per connection, the address it came in on.

    A name may begin with `*.` for everything below it. Ports don't matter: a forwarded port is another one.
    Raises ConfigError for what is no name: it would never match, and nobody would know.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {"localhost"}
        self._suffixes: list[str] = []
        for name in names:
            given, name = name, _bare(name.strip().lower())
            if not name or "/" in name or "*" in name.removeprefix("*."):
                raise ConfigError(
                    f"server.allowed_hosts: {given!r} is no host name",
                    hint="a name or address such as gw.example.org, or *.example.org for all below it",
                )
            if name.startswith("*."):
                self._suffixes.append(name[1:])
            else:
                self._names.add(_canonical(name))
        self.seen: set[bytes] = set()
        """Headers that were found to be ours, byte for byte: most requests need no more than this."""

    def allows(self, header: bytes, *, own: str | None = None) -> bool:
        """Whether a Host header is ours; `own` is the local address of its connection."""
        if header in self.seen:
            return True
        name = _canonical(_bare(header.decode("latin-1").strip().lower()))
        if not (self._is_known(name) or (own and name == _canonical(own.lower().partition("%")[0]))):
            return False
        if len(self.seen) < _REMEMBERED:
            self.seen.add(header)
        return True

    def _is_known(self, name: str) -> bool:
        if name in self._names or any(name.endswith(each) and name != each for each in self._suffixes):
            return True
        try:
            return ip_address(name).is_loopback
        except ValueError:
            return False


def host_of_url(url: str) -> str:
    """Return the host in a URL, or what was given where it has none."""
    return urlsplit(url if "://" in url else f"//{url}").hostname or url


def _bare(header: str) -> str:
    """Return a Host header's name: without port, brackets, and the root's dot."""
    if header.startswith("["):
        name, bracket, rest = header[1:].partition("]")
        return name if bracket and (not rest or _is_port(rest)) else ""
    name, colon, port = header.partition(":")
    if colon and ":" in port:
        # An IPv6 address of somebody who forgot the brackets: right in a setting, wrong in a header.
        return header if _is_address(header) else ""
    if colon and not _is_port(f":{port}"):
        return ""
    return name.removesuffix(".")


def _is_port(text: str) -> bool:
    return text[0] == ":" and (text == ":" or text[1:].isdecimal())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _canonical(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return name
