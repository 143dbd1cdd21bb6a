"""Where the relay is, and what is asked of it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Where the relay is, and what to ask of it. `jump` are hosts on the way: USER@HOST or USER@HOST:PORT."""

    host: str
    port: int
    user: str
    bind: str
    public_port: int
    ssh_dir: Path
    jump: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The relay as people write it."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted of the tunnel: the relay, the address devices use, and whether TLS may be missing."""

    relay: Relay
    public_url: str
    allow_plain_http: bool


def parse_jump(text: str) -> tuple[str, str, int]:
    """Return the user, host and port of USER@HOST or USER@HOST:PORT; IPv6 addresses stand in brackets."""
    user, _, rest = text.rpartition("@")
    host, _, port = rest.partition(":") if not rest.startswith("[") else _bracketed(rest)
    return user, host, int(port or 22)


def _bracketed(rest: str) -> tuple[str, str, str]:
    host, _, port = rest[1:].partition("]")
    return host, "", port.removeprefix(":")
