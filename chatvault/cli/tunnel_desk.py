"""What `chatvault tunnel up`, `down` and `status` do: run it here, show its state."""

from dataclasses import replace

from chatvault.cli import output
from chatvault.cli.context import Context
from chatvault.cli.foreground import AnySettings, run_daemon
from chatvault.core.json_types import JsonObject
from chatvault.errors import UsageError

_BYTES = ("B", "kB", "MB", "GB", "TB")


def serve_with_tunnel(context: Context) -> int:
    """Run the daemon here with its tunnel up, and return its exit code."""

    def adapt(settings: AnySettings) -> AnySettings:
        if settings.tunnel.host is None:
            raise UsageError("the settings name no relay", hint="chatvault tunnel setup USER@HOST")
        return replace(settings, tunnel=replace(settings.tunnel, enabled=True))

    return run_daemon(context, adapt)


def show(found: JsonObject, *, as_json: bool) -> None:
    """Show the tunnel's status."""
    facts = {key: value for key, value in found.items() if key != "schema"}
    since = facts.get("since")
    if isinstance(since, int):
        facts["since"] = output.iso(since)
    if as_json:
        output.show_json(facts)
        return
    outside = facts.pop("outside", None)
    for name in ("bytes_in", "bytes_out"):
        facts[name] = _size(facts.get(name))
    if isinstance(outside, dict):
        facts["outside_check"] = outside.get("detail")
        if outside.get("fix"):
            facts["fix"] = outside["fix"]
    output.show_facts({key: value for key, value in facts.items() if value is not None})


def _size(value: object) -> str:
    size = float(value) if isinstance(value, int) else 0.0
    for unit in _BYTES[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_BYTES[-1]}"
