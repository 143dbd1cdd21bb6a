"""Whose days reports count, read without the rest of the settings: `usage` must not wait for YAML."""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from chatvault.config.local_zone import local_zone


def report_zone(path: Path, environ: Mapping[str, str]) -> ZoneInfo:
    """Return the zone that `usage.timezone` in the settings file `path` names, else this machine's.

    Raises ConfigError where the file names one but can't be read.
    """
    try:
        names_zone = b"timezone" in path.read_bytes()
    except OSError:
        names_zone = False
    if names_zone:
        from chatvault.config.load import load_usage

        chosen = load_usage(path).timezone
        if chosen != "local":
            return chosen
    return local_zone(environ)
