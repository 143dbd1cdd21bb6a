"""What `doctor` looks at in TLS: whether the certificate can be used, for whom, and for how long."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from chatvault.core.check import Check
from chatvault.core.client_address import is_loopback
from chatvault.errors import ConfigError
from chatvault.gateway.tls import Certificates

_NAME = "TLS"
_SOON = timedelta(days=21)


def check_tls(
    cert: Path | None,
    key: Path | None,
    *,
    host: str,
    names: Iterable[str],
    now: datetime,
    has_tunnel: bool = False,
) -> Check:
    """Check the certificate for the `names` devices use; `host` is what the gateway listens on."""
    if cert is None or key is None:
        if has_tunnel:
            return Check(
                _NAME,
                "fail",
                "the tunnel's public port is open to the internet without TLS: access tokens can be read on "
                "the way",
                "chatvault tls self-signed, then set server.tls",
            )
        if host == "localhost" or (host and is_loopback(host)):
            return Check(_NAME, "skip", f"not needed: {host} is this machine alone")
        return Check(
            _NAME,
            "warn",
            f"{host} is open to the network without TLS: access tokens can be read on the way",
            "chatvault tls self-signed, then set server.tls",
        )
    try:
        facts = Certificates(cert, key).facts
    except ConfigError as exc:
        return Check(_NAME, "fail", exc.message, exc.hint)
    days = (facts.not_after - now).days
    if facts.not_before > now:
        return Check(
            _NAME, "fail", f"{cert} is not valid before {facts.not_before.date()}", "check the clock"
        )
    if facts.not_after - now < _SOON:
        return Check(_NAME, "warn", f"{cert} expires in {days} days", "renew it: it is taken up by itself")
    missing = [name for name in names if not any(_covers(each, name) for each in facts.names)]
    if missing:
        return Check(
            _NAME,
            "fail",
            f"{cert} is not for {', '.join(missing)}",
            f"chatvault tls self-signed {' '.join(f'--name {name}' for name in missing)}",
        )
    return Check(_NAME, "pass", f"for {', '.join(facts.names)}; {days} days left")


def _covers(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower(), name.lower()
    if pattern.startswith("*."):
        return fnmatchcase(name, pattern) and name.count(".") == pattern.count(".")
    return pattern == name
