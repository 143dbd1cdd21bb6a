"""The daemon's status, in words: instants in the viewer's zone, bytes and seconds in units people read."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from chatvault.core.json_types import Json, JsonObject

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


# What says nothing to people under the name that programs know.
_TITLES = {"network": "network since boot", "conditions": "needs a look"}
_WHERE_EMPTY = {"gpus": "none", "conditions": "nothing", "today": "can't be read"}
# Of a tunnel that is off the rest only says so again.
_OF_A_TUNNEL_THAT_IS_OFF = ("state", "relay", "public_url", "reason", "hint")


def for_people(status: JsonObject, zone: ZoneInfo) -> JsonObject:
    """Return the daemon's status, each fact in its most readable form, under a name without its unit."""
    found = dict(status)
    tunnel = found.get("tunnel")
    if isinstance(tunnel, Mapping) and tunnel.get("state") == "off":
        found["tunnel"] = {name: tunnel[name] for name in _OF_A_TUNNEL_THAT_IS_OFF if name in tunnel}
    shown: dict[str, Json] = {}
    for name, value in _readable(found, zone).items():
        is_empty = value is None or value == []
        shown[_TITLES.get(name, name)] = _WHERE_EMPTY.get(name, value) if is_empty else value
    return shown


def _readable(status: JsonObject, zone: ZoneInfo) -> JsonObject:
    shown: dict[str, Json] = {}
    for name, value in status.items():
        if name == "schema":
            continue
        if isinstance(value, Mapping):
            shown[name] = _known(_readable(value, zone))
        elif isinstance(value, list | tuple):
            shown[name] = [
                _known(_readable(each, zone)) if isinstance(each, Mapping) else each for each in value
            ]
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


def _known(facts: JsonObject) -> JsonObject:
    return {name: value for name, value in facts.items() if value is not None}


def _span(seconds: int) -> str:
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"{seconds} s"
