"""The user that the system's daemon runs as: what root's commands create must belong to it."""

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chatvault.config.places import Places

SERVICE = "chatvault"


def service_user(places: Places) -> pwd.struct_passwd | None:
    """Return the user whose the system's files are, None where the daemon is a user's own or root's."""
    if not places.is_system:
        return None
    try:
        return pwd.getpwnam(SERVICE)
    except KeyError:
        return None


def service_group(places: Places) -> int | None:
    """Return the group that may ask the daemon, None where this process can't hand files to one."""
    if not places.is_system:
        return None
    try:
        group = grp.getgrnam(SERVICE).gr_gid
    except KeyError:
        return None
    return group if os.geteuid() == 0 or group in (os.getegid(), *os.getgroups()) else None


@contextmanager
def acting_as_service(places: Places) -> Iterator[None]:
    """Act as the service's user for a while, where root works on the service's files.

    New files then belong to it, and nothing it lays into its own folders can lead root astray.
    """
    user = service_user(places) if os.geteuid() == 0 else None
    if user is None:
        yield
        return
    for folder, mode in ((places.state_dir, 0o700), (places.run_dir, 0o750), (places.cache_dir, 0o700)):
        _own(folder, mode, user)
    group = os.getegid()
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def become_service(places: Places) -> None:
    """Become the service's user for good, where root starts the daemon by hand."""
    user = service_user(places) if os.geteuid() == 0 else None
    if user is None:
        return
    for folder, mode in ((places.state_dir, 0o700), (places.run_dir, 0o750), (places.cache_dir, 0o700)):
        _own(folder, mode, user)
    os.initgroups(SERVICE, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def _own(folder: Path, mode: int, user: pwd.struct_passwd) -> None:
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    if folder.stat().st_uid == 0:
        os.chown(folder, user.pw_uid, user.pw_gid)
        folder.chmod(mode)
