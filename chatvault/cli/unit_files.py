"""systemd's files, as they lie in the package or the checkout, filled in for this machine."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from chatvault.errors import ChatVaultError, NotPermitted

SYSTEM_UNITS = (
    "chatvault.service",
    "chatvault.socket",
    "chatvault-backup.service",
    "chatvault-backup.timer",
    "chatvault-verify.service",
    "chatvault-verify.timer",
)
STARTED_UNITS = ("chatvault.socket", "chatvault.service", "chatvault-verify.timer")
"""What is enabled for good: a daemon that runs makes backups by itself, so their timer is not among them."""

# What a service with ProtectHome= and PrivateTmp= can't see, and what another user may not even enter.
_OUT_OF_REACH = ("/home", "/root", "/tmp", "/var/tmp", "/run/user")
_GOOD_PLACE = "/opt/chatvault/venv"


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file for systemd: where it goes, and what stands in it."""

    path: Path
    text: str


def system_files(program: Path, listen: Sequence[str], *, root: Path = Path("/")) -> tuple[UnitFile, ...]:
    """Return the system service's files; `listen` are the addresses with port that systemd opens."""
    units = root / "etc/systemd/system"
    return (
        *(UnitFile(units / name, _filled(name, program, listen)) for name in SYSTEM_UNITS),
        UnitFile(root / "etc/sysusers.d/chatvault.conf", _filled("chatvault.sysusers.conf", program, listen)),
        UnitFile(root / "etc/tmpfiles.d/chatvault.conf", _filled("chatvault.tmpfiles.conf", program, listen)),
    )


def user_files(program: Path, config_home: Path) -> tuple[UnitFile, ...]:
    """Return the files for a user's own systemd manager."""
    path = config_home / "systemd/user/chatvault.service"
    return (UnitFile(path, _filled("user/chatvault.service", program, ())),)


def this_program() -> Path:
    """Return the installed `chatvault` that is running. Raises ChatVaultError where there is none."""
    for candidate in (Path(sys.executable).parent / "chatvault", Path(sys.argv[0])):
        if candidate.name == "chatvault" and candidate.is_file():
            return candidate.absolute()
    raise ChatVaultError(
        "this is a checkout that runs without being installed: a service needs a program to start",
        hint=f"python3 -m venv {_GOOD_PLACE} && {_GOOD_PLACE}/bin/pip install .",
    )


def check_reach(program: Path) -> None:
    """Refuse a program that the service's user can't reach. Raises NotPermitted."""
    package = Path(__file__).parents[1]
    for what, path in (
        ("the program", program),
        ("its Python", Path(sys.executable).resolve()),
        ("its Python", Path(sys.base_prefix)),
        ("its environment", Path(sys.prefix)),
        ("its code", package),
    ):
        resolved = path.resolve()
        for place in _OUT_OF_REACH:
            if resolved.is_relative_to(place):
                raise NotPermitted(
                    f"{what} lies at {resolved}, and {place} is closed to the user that the service runs as",
                    hint=f"install it in {_GOOD_PLACE} with the system's Python "
                    f"(PYTHON=/usr/bin/python3 packaging/venv {_GOOD_PLACE} packaging/requirements.lock), "
                    f"or as a service of your own: chatvault systemd install --user",
                )


def _filled(name: str, program: Path, listen: Sequence[str]) -> str:
    text = _source().joinpath(name).read_text(encoding="utf-8")
    streams = "\n".join(f"ListenStream={address}" for address in listen)
    return text.replace("@PROGRAM@", str(program)).replace("@LISTEN@", streams)


def _source() -> Traversable:
    packaged = files("chatvault") / "units"
    if packaged.is_dir():
        return packaged
    beside = Path(__file__).parents[2] / "systemd"
    if beside.is_dir():
        return beside
    raise ChatVaultError("systemd's files are missing from this installation", hint="install it again")
