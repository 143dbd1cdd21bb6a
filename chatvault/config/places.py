"""Where settings, secrets, the database and the control socket lie."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_APP = "chatvault"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Every path ChatVault reads or writes. `credentials_dir` is systemd's, None without it."""

    config: Path
    env_file: Path
    state_dir: Path
    run_dir: Path
    cache_dir: Path
    credentials_dir: Path | None = None
    is_system: bool = False

    @property
    def database(self) -> Path:
        """The one file of data."""
        return self.state_dir / "chatvault.db"

    @property
    def control_socket(self) -> Path:
        """Where the daemon listens for the command line."""
        return self.run_dir / "control.sock"

    @property
    def lock(self) -> Path:
        """The file whose lock the one writer holds."""
        return self.run_dir / "lock"

    @property
    def keys_dir(self) -> Path:
        """The audit's keys: what signs checkpoints, and what kept prompts are encrypted with."""
        return self.state_dir / "keys"

    @property
    def backup_dir(self) -> Path:
        """Copies of the database."""
        return self.state_dir / "backups"

    @property
    def archive_dir(self) -> Path:
        """What was pruned from the audit chain."""
        return self.state_dir / "archive"

    @property
    def ssh_dir(self) -> Path:
        """The tunnel's key and known_hosts."""
        return self.state_dir / "ssh"

    @property
    def tls_dir(self) -> Path:
        """Certificates of our own making."""
        return self.state_dir / "tls"


def find_places(environ: Mapping[str, str], *, is_root: bool, config_override: Path | None = None) -> Places:
    """Find every path.

    `CHATVAULT_HOME` goes first, then what systemd sets, then the system's or the user's defaults;
    `config_override` names another settings file.
    """
    found = _at_home(environ) or _by_system(environ, is_root=is_root) or _by_user(environ)
    config = config_override.absolute() if config_override is not None else found.config
    is_beside = not found.is_system and "CHATVAULT_HOME" not in environ
    return Places(
        config=config,
        env_file=config.parent / ".env" if is_beside else found.env_file,
        state_dir=found.state_dir,
        run_dir=found.run_dir,
        cache_dir=found.cache_dir,
        credentials_dir=_directory(environ, "CREDENTIALS_DIRECTORY"),
        is_system=found.is_system,
    )


def _at_home(environ: Mapping[str, str]) -> Places | None:
    home = environ.get("CHATVAULT_HOME")
    if not home:
        return None
    root = Path(home).expanduser().absolute()
    return Places(
        config=root / "config.yaml",
        env_file=root / ".env",
        state_dir=root,
        run_dir=root / "run",
        cache_dir=root / "cache",
    )


def _by_system(environ: Mapping[str, str], *, is_root: bool) -> Places | None:
    state = _directory(environ, "STATE_DIRECTORY")
    run = _directory(environ, "RUNTIME_DIRECTORY")
    settings = _directory(environ, "CONFIGURATION_DIRECTORY")
    # A user's own systemd manager sets the same variables, with paths under the user's home and /run/user.
    is_service = (
        (state is not None and state.is_relative_to("/var/lib"))
        or (settings is not None and settings.is_relative_to("/etc"))
        or (run is not None and run.is_relative_to("/run") and not run.is_relative_to("/run/user"))
    )
    if not (is_root or is_service):
        return None
    folder = settings or Path("/etc") / _APP
    return Places(
        config=folder / "config.yaml",
        env_file=folder / ".env",
        state_dir=state or Path("/var/lib") / _APP,
        run_dir=run or Path("/run") / _APP,
        cache_dir=_directory(environ, "CACHE_DIRECTORY") or Path("/var/cache") / _APP,
        is_system=True,
    )


def _by_user(environ: Mapping[str, str]) -> Places:
    from platformdirs import PlatformDirs

    dirs = PlatformDirs(_APP, appauthor=False)
    state_dir = _directory(environ, "STATE_DIRECTORY") or dirs.user_data_path
    config_dir = _directory(environ, "CONFIGURATION_DIRECTORY") or dirs.user_config_path
    return Places(
        config=config_dir / "config.yaml",
        env_file=config_dir / ".env",
        state_dir=state_dir,
        run_dir=_directory(environ, "RUNTIME_DIRECTORY") or _user_run_dir(environ, state_dir),
        cache_dir=_directory(environ, "CACHE_DIRECTORY") or dirs.user_cache_path,
    )


def _user_run_dir(environ: Mapping[str, str], state_dir: Path) -> Path:
    # A login without XDG_RUNTIME_DIR (cron, su) must find the same lock as one with it; /tmp is no place.
    for folder in (environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if folder and os.access(folder, os.W_OK):
            return Path(folder) / _APP
    return state_dir / "run"


def _directory(environ: Mapping[str, str], name: str) -> Path | None:
    # systemd separates several directories by colons; the first is ours.
    first = environ.get(name, "").split(":")[0]
    return Path(first) if first else None
