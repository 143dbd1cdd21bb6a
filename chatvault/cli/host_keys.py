"""The host keys of the relay and of the hosts on the way to it: agreed to, and pinned."""

import sys
from collections.abc import Sequence
from pathlib import Path

from chatvault.cli import output
from chatvault.errors import ChatVaultError

ON_RELAY = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"


def agree(ssh_dir: Path, host: str, port: int, shown: Sequence[str], *, is_agreed: bool) -> None:
    """Return if what a host has shown may be pinned.

    Raises ChatVaultError where other keys are pinned, unless `is_agreed` or somebody here says yes.
    """
    from chatvault.tunnel import keys, known_hosts

    old = known_hosts.replaced(ssh_dir, host, port, shown)
    if not old:
        return
    news = ", ".join(keys.fingerprint(key) for key in shown)
    change = f"{host} shows the host key {news}; pinned is {', '.join(map(keys.fingerprint, old))}"
    if is_agreed:
        output.talk(change)
        return
    if sys.stdin.isatty():
        output.talk(f"{change}. Unless you know why, somebody is in between. Take the new key? [y/N] ")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise ChatVaultError(
        f"{change}: nothing was changed",
        hint=f"compare it on the relay's own console: {ON_RELAY}; if it is the relay's, add --new-host-key",
    )


def pin(ssh_dir: Path, host: str, port: int, shown: Sequence[str]) -> bool:
    """Pin what a host has shown, and say so; return whether there is anything."""
    from chatvault.tunnel import keys, known_hosts

    is_news = bool(shown) and known_hosts.pin(ssh_dir, host, port, shown)
    for key in shown:
        output.talk(f"{'pinned' if is_news else 'already pinned'}  {host}  {keys.fingerprint(key)}")
    return bool(shown)
