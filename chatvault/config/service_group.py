"""The group whose members may look at the system's daemon without being root."""

import grp
import os

from chatvault.config.places import Places

SERVICE = "chatvault"


def service_group(places: Places) -> int | None:
    """Return the group's number, None where the daemon is a user's own or can't hand files to that group."""
    if not places.is_system:
        return None
    try:
        group = grp.getgrnam(SERVICE).gr_gid
    except KeyError:
        return None
    return group if os.geteuid() == 0 or group in (os.getegid(), *os.getgroups()) else None
