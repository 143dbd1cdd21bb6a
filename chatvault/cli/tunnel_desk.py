"""What `chatvault tunnel` does: shows the state, sets up the relay, pins its key."""

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chatvault.cli import output, tunnel_way
from chatvault.cli.context import Context
from chatvault.cli.foreground import AnySettings, run_daemon
from chatvault.config.settings import TunnelSettings
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, UsageError

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_ON_RELAY = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, on the relay,"
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


def script(context: Context) -> str:
    """Return the script that sets up a relay, with this daemon's key in it."""
    from chatvault.tunnel import keys, relay_script

    settings = _tunnel_settings(context)
    public = keys.ensure_key(context.places.ssh_dir)
    return relay_script.relay_script(user=settings.user, port=settings.remote_port, public_key=public)


def tell_by_hand(destination: str) -> None:
    """Say what is to be done with the script, and after it."""
    output.talk("On the relay, as root: `sh FILE` shows what it would change, `sh FILE apply` does it.")
    output.talk(f"Then here: chatvault tunnel setup {destination} --pin SHA256:…, which {_ON_RELAY} shows.")


def setup(
    context: Context, destination: str, *, is_dry: bool, is_agreed: bool, is_replacing: bool, as_json: bool
) -> None:
    """Show what would be changed on the relay; unless `is_dry`, do it, and pin the relay's host key.

    With `as_json` the lines for people are talk, and one object holds what they say. Raises UsageError where
    there are changes, nobody has agreed to them (`is_agreed`) and nobody can be asked; ChatVaultError where
    another key is pinned for the relay, unless `is_replacing` or somebody agrees to it.
    """
    from chatvault.tunnel import keys, relay_script
    from chatvault.tunnel.setup import run_script
    from chatvault.tunnel.user_ssh import host_keys_of, place_of

    settings = _tunnel_settings(context)
    ssh_dir = context.places.ssh_dir
    place = place_of(destination)
    is_only_shown = is_dry or not (is_agreed or sys.stdin.isatty())
    is_new = is_only_shown and not keys.key_file(ssh_dir).exists()
    public = keys.sample() if is_new else keys.ensure_key(ssh_dir)
    text = relay_script.relay_script(user=settings.user, port=settings.remote_port, public_key=public)
    plan = run_script(destination, text, is_dry=True)
    for line in plan.lines:
        (output.talk if as_json else output.show)(line)
    _agree_to_keys(ssh_dir, place.host, place.port, plan.host_keys, is_agreed=is_replacing)
    of_hops = [(hop, host_keys_of(hop.words)) for hop in place.jump]
    for hop, found in of_hops:
        _agree_to_keys(ssh_dir, hop.host, hop.port, found, is_agreed=is_replacing)
    told: JsonObject = {
        "relay": place.host,
        "port": place.port,
        "jump": [hop.setting for hop in place.jump],
        "proxy_command": place.has_command,
        "dry_run": is_dry,
        "changes": plan.changes,
        "made": False,
        "lines": list(plan.lines),
        "host_keys": [keys.fingerprint(key) for key in plan.host_keys],
    }
    if is_dry or (is_only_shown and plan.changes):
        if as_json:
            output.show_json(told)
        tunnel_way.tell_way(place)
        output.talk(f"{plan.changes} changes would be made on {place.host}; none was.")
        if is_new:
            output.talk("The key shown is an example: there is none yet, and what only shows makes none.")
        if not is_dry:
            raise UsageError(
                f"there is no one to ask whether these {plan.changes} changes shall be made",
                hint=f"chatvault tunnel setup {destination} --yes makes them",
            )
        return
    changes = 0
    if plan.changes:
        if not is_agreed:
            _agree(destination, plan.changes)
        done = run_script(destination, text, is_dry=False)
        for line in done.lines:
            output.talk(line)
        # Somebody may have been there since it was shown.
        changes = done.changes
    _pin(ssh_dir, place.host, place.port, plan.host_keys)
    are_known = [_pin(ssh_dir, hop.host, hop.port, found) for hop, found in of_hops]
    output.talk(f"{changes} changes were made on {place.host}.")
    tunnel_way.tell_settings(settings, place)
    tunnel_way.tell_hops(place, public, are_known)
    if as_json:
        output.show_json({**told, "changes": changes, "made": changes > 0})


def pin(context: Context, destination: str, fingerprint: str, *, is_replacing: bool) -> None:
    """Pin the host key the relay shows, if it has `fingerprint`. Raises ChatVaultError where it hasn't.

    Raises UsageError for what is no fingerprint.
    """
    import asyncio

    from chatvault.tunnel import keys, known_hosts
    from chatvault.tunnel.user_ssh import check_destination, host_keys_of, place_of

    if not _FINGERPRINT.fullmatch(fingerprint):
        raise UsageError(f"{fingerprint!r} is no fingerprint of a host key", hint=f"{_ON_RELAY} shows it")
    place = place_of(destination)
    if place.jump or place.has_command:
        # It may not be reached from here; what it says over any way has to fit the fingerprint.
        shown = host_keys_of(("--", check_destination(destination)))
    else:
        shown = asyncio.run(known_hosts.shown_keys(place.host, place.port))
    found = [keys.fingerprint(key) for key in shown]
    if fingerprint not in found:
        raise ChatVaultError(
            f"{place.host} shows a key with the fingerprint {', '.join(found)}"
            if found
            else f"{place.host} told your ssh no host key",
            hint=f"{_ON_RELAY} shows the right one",
        )
    _agree_to_keys(context.places.ssh_dir, place.host, place.port, shown, is_agreed=is_replacing)
    known_hosts.pin(context.places.ssh_dir, place.host, place.port, shown)
    output.talk(f"pinned  {place.host}  {fingerprint}")
    settings = _tunnel_settings(context)
    if settings.host in (None, place.host):
        tunnel_way.tell_settings(settings, place)


def _tunnel_settings(context: Context) -> TunnelSettings:
    return context.settings().tunnel if context.places.config.exists() else TunnelSettings()


def _pin(ssh_dir: Path, host: str, port: int, shown: Sequence[str]) -> bool:
    """Pin what a host has shown, and say so; return whether there is anything."""
    from chatvault.tunnel import keys, known_hosts

    is_news = bool(shown) and known_hosts.pin(ssh_dir, host, port, shown)
    for key in shown:
        output.talk(f"{'pinned' if is_news else 'already pinned'}  {host}  {keys.fingerprint(key)}")
    return bool(shown)


def _agree(destination: str, changes: int) -> None:
    output.talk(f"Make these {changes} changes on {destination}? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ChatVaultError("nothing was changed", hint="--yes makes the changes without asking")


def _agree_to_keys(ssh_dir: Path, host: str, port: int, shown: Sequence[str], *, is_agreed: bool) -> None:
    from chatvault.tunnel import keys, known_hosts

    old = known_hosts.replaced(ssh_dir, host, port, shown)
    if not old:
        return
    news = ", ".join(keys.fingerprint(key) for key in shown)
    change = f"{host} shows the host key {news}; pinned is {', '.join(map(keys.fingerprint, old))}"
    if is_agreed:
        output.talk(change)
        return
    if sys.stdin.isatty():
        output.talk(f"{change}. Unless you know why, somebody is in between. Take the new key? [y/N] ")
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
    raise ChatVaultError(
        f"{change}: nothing was changed",
        hint="compare it on the relay's own console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; "
        "if it is the relay's, add --new-host-key",
    )


def _size(value: object) -> str:
    size = float(value) if isinstance(value, int) else 0.0
    for unit in _BYTES[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_BYTES[-1]}"
