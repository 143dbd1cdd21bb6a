"""The shell script that makes a host a relay: what it does is shown first, done once, and undone nowhere."""

import re
from importlib.resources import files

from chatvault.errors import UsageError

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY = re.compile(r"ssh-ed25519 [A-Za-z0-9+/]+={0,2}")


def relay_script(*, user: str, port: int, public_key: str) -> str:
    """Return the script for Debian, Ubuntu and Amazon Linux 2023.

    `user` is the relay's user for the tunnel, `port` the public one. It shows what it would change; with
    `apply` as its argument it does so. Raises UsageError for values that have no place in a script.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f"tunnel.user: {user!r} is no name for a system user")
    key = " ".join(public_key.split()[:2])
    if not _KEY.fullmatch(key):
        raise UsageError("the tunnel's key is not an ed25519 key", hint="chatvault tunnel key")
    text = files("chatvault.tunnel").joinpath("relay_setup.sh").read_text(encoding="utf-8")
    for name, value in (("USER", user), ("PORT", str(port)), ("KEY", key)):
        text = text.replace(f"@{name}@", value)
    return text
