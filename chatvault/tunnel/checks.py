"""What `doctor` looks at in the tunnel: its files, its state, and what is met at the public address."""

import stat
from collections.abc import Mapping
from pathlib import Path

from chatvault.core.check import Check
from chatvault.errors import ChatVaultError
from chatvault.tunnel.keys import fingerprint, key_file, public_half
from chatvault.tunnel.known_hosts import host_pattern, pinned

_NAME = "Tunnel"
_SETUP = "chatvault tunnel setup USER@"


def check_files(ssh_dir: Path, host: str, port: int) -> Check:
    """See whether there is a key that is ours alone, and a pinned host key of the relay."""
    name, path = "Tunnel keys", key_file(ssh_dir)
    fix = f"{_SETUP}{host}"
    if not path.exists():
        return Check(name, "fail", f"there is no key at {path}", fix)
    try:
        shown = fingerprint(public_half(ssh_dir))
    except ChatVaultError as exc:
        return Check(name, "fail", exc.message, exc.hint)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Check(name, "fail", f"others can read {path}", f"chmod 600 {path}")
    try:
        keys = pinned(ssh_dir, host, port)
        relay = ", ".join(fingerprint(key) for key in keys)
    except ChatVaultError as exc:
        return Check(name, "fail", exc.message, exc.hint)
    if not keys:
        return Check(name, "fail", f"no host key of {host_pattern(host, port)} is pinned", fix)
    return Check(name, "pass", f"our key {shown}; the relay's {relay}")


def check_state(status: Mapping[str, object], *, is_enabled: bool) -> Check:
    """Judge the tunnel's state, as the daemon tells it."""
    state = str(status.get("state"))
    reason, hint = status.get("reason"), status.get("hint")
    fix = str(hint) if hint else None
    if state == "up":
        round_trip = status.get("round_trip_ms")
        trip = f", {round_trip} ms to the relay and back" if round_trip is not None else ""
        return Check(
            _NAME, "pass", f"up: {status.get('public_url')}, {status.get('reconnects')} reconnects{trip}"
        )
    if state == "off" and not is_enabled:
        return Check(_NAME, "skip", "tunnel.enabled is false", "chatvault tunnel up")
    detail = f"{state}: {reason}" if reason else state
    return Check(_NAME, "warn" if state == "connecting" else "fail", detail, fix or "chatvault tunnel up")


def check_outside(found: Mapping[str, object], *, is_plain: bool) -> Check:
    """Judge what the daemon met when it dialled its own public address."""
    name, fix = "Outside check", found.get("fix")
    if not found.get("ok"):
        return Check(name, "fail", str(found.get("detail")), str(fix) if fix else None)
    if is_plain:
        detail = f"{found.get('detail')}, but in clear: the relay and everyone between read access tokens"
        return Check(name, "fail", detail, "chatvault tls self-signed, then tunnel.allow_plain_http: false")
    return Check(name, "pass", f"{found.get('detail')}, with our own certificate")
