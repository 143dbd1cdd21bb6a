"""This machine's time zone, by name: its offset alone would be wrong on the other side of a clock change."""

from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")
_TIMEZONE = Path("/etc/timezone")


def local_zone(
    environ: Mapping[str, str], *, localtime: Path = _LOCALTIME, timezone: Path = _TIMEZONE
) -> ZoneInfo:
    """Return the zone of TZ, else the machine's, else UTC."""
    names = [environ.get("TZ", "").lstrip(":"), _linked(localtime), _written(timezone)]
    for name in names:
        if not name:
            continue
        try:
            return ZoneInfo(_linked(Path(name)) or name if name.startswith("/") else name)
        except (ValueError, OSError, KeyError):
            continue
    return ZoneInfo("UTC")


def _linked(path: Path) -> str:
    parts = path.resolve().parts
    return "/".join(parts[parts.index("zoneinfo") + 1 :]) if "zoneinfo" in parts else ""


def _written(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
