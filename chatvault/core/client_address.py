"""A client's address as limits count it."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address


@lru_cache(maxsize=4096)
def counted_as(address: str) -> str:
    """Return what stands for `address` where connections and failures are counted.

    An IPv6 address counts as its /64: that is what one subscriber is given, and may walk about in. An IPv4
    address in IPv6's clothes is itself; what is no address stays as it is.
    """
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    if found.is_loopback:
        return str(found)
    return f"{IPv6Address(int(found) >> 64 << 64)}/64"


@lru_cache(maxsize=4096)
def is_loopback(address: str) -> bool:
    """Whether `address` is this machine; no address at all is a Unix socket's, and so is this machine."""
    try:
        found = ip_address(address)
    except ValueError:
        return not address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found.is_loopback
