"""The daemon's status, in words: instants in the viewer's zone, bytes and seconds in units people read."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from chatvault.core.json_types import Json, JsonObject

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def for_people(status: JsonObject, zone: ZoneInfo) -> JsonObject:
    """Return the same facts, each in its most readable form, under a name without its unit."""
    shown: dict[str, Json] = {}
    for name, value in status.items():
        if name == "schema":
            continue
        if isinstance(value, Mapping):
            shown[name] = for_people(value, zone)
        elif isinstance(value, list | tuple):
            shown[name] = [for_people(each, zone) if isinstance(each, Mapping) else each for each in value]
        elif name.endswith("_picousd"):
            # Said in USD beside it.
            continue
        elif (name.endswith("_at_ms") or name in ("since", "since_ms")) and isinstance(value, int):
            shown[name.removesuffix("_ms")] = datetime.fromtimestamp(value / 1000, zone).strftime(
                "%Y-%m-%d %H:%M:%S %Z"
            )
        elif name.endswith("_bytes") and isinstance(value, int):
            shown[name.removesuffix("_bytes")] = f"{value / 1_000_000:.1f} MB"
        elif name.endswith("_seconds") and isinstance(value, int):
            shown[name.removesuffix("_seconds")] = _span(value)
        else:
            shown[name] = value
    return shown


def _span(seconds: int) -> str:
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"{seconds} s"
