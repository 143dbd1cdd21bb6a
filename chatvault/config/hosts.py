"""What may stand where a host is named: the gateway's address, the relay, the hosts on the way to it."""

import re
from ipaddress import ip_address

HOST_HINT = "127.0.0.1 is this machine only, 0.0.0.0 every network it is in"

RELAY_HINT = "the host alone, such as 203.0.113.5: its user and SSH port are tunnel.user and tunnel.port"
JUMP_HINT = "jump: [me@bastion.example.org, 'me@[2001:db8::1]:2222']"

_JUMP = re.compile(r"[^@\s]+@(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")


def host_problem(host: str) -> str | None:
    """Say why `host` is no host: neither an IP address nor a name; None where it may be one.

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


def jump_problem(text: str) -> str | None:
    """Say why `text` is no host on the way to the relay; None where it may be one."""
    found = _JUMP.fullmatch(text)
    is_port = found is not None and 1 <= int(found["port"] or 22) <= 65_535
    if found is None or not is_port or host_problem(found["host"].strip("[]")):
        return f"{text!r} is not USER@HOST or USER@HOST:PORT"
    return None
