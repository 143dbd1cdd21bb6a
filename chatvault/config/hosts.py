"""What may stand where the gateway's address is given."""

import re
from ipaddress import ip_address

HOST_HINT = "127.0.0.1 is this machine only, 0.0.0.0 every network it is in"

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


def host_problem(host: str) -> str | None:
    """Say why `host` is no address to listen on: neither an IP address nor a name; None where it may be one.

    An empty one would be taken for every network there is.
    """
    if not host:
        return "is empty"
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        if not _NAME.fullmatch(host) or re.fullmatch(r"[0-9.]+", host):
            return f"{host!r} is no address"
    return None
