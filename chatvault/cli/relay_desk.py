"""What `chatvault tunnel setup` does: shows the changes, asks, makes them, pins keys, says what is next."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatvault.cli import host_keys, output, tunnel_way
from chatvault.cli.context import Context
from chatvault.cli.host_keys import ON_RELAY
from chatvault.config.settings import TunnelSettings
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, UsageError

if TYPE_CHECKING:
    from chatvault.tunnel.setup import Outcome
    from chatvault.tunnel.user_ssh import Hop, Place

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be done on a relay and on the way to it; `shown` is what the relay said of `script`.

    `is_example` says that there is no key yet, and the one in the script is none of ours.
    """

    place: "Place"
    public_key: str
    is_example: bool
    script: str
    shown: "Outcome"
    keys_of_hops: tuple[tuple["Hop", tuple[str, ...]], ...]

    def hosts(self) -> Iterator[tuple[str, int, Sequence[str]]]:
        """Yield each host's name, port and host keys, the relay's first."""
        yield self.place.host, self.place.port, self.shown.host_keys
        for hop, found in self.keys_of_hops:
            yield hop.host, hop.port, found

    def told(self, *, is_dry: bool, changes: int, is_made: bool) -> JsonObject:
        """Return all of it for JSON."""
        from chatvault.tunnel import keys

        return {
            "relay": self.place.host,
            "port": self.place.port,
            "jump": [hop.setting for hop in self.place.jump],
            "proxy_command": self.place.has_command,
            "dry_run": is_dry,
            "changes": changes,
            "made": is_made,
            "lines": list(self.shown.lines),
            "host_keys": [keys.fingerprint(key) for key in self.shown.host_keys],
        }


def script(context: Context) -> str:
    """Return the script that sets up a relay, with this daemon's key in it."""
    from chatvault.tunnel import keys

    return _script(_settings(context), keys.ensure_key(context.places.ssh_dir))


def tell_by_hand(destination: str) -> None:
    """Say what is to be done with the script, and after it."""
    output.talk("On the relay, as root: `sh FILE` shows what it would change, `sh FILE apply` does it.")
    command = f"chatvault tunnel setup {destination} --pin SHA256:…"
    output.talk(f"Then here: {command}, which {ON_RELAY}, on the relay, shows.")


def setup(
    context: Context, destination: str, *, is_dry: bool, is_agreed: bool, is_replacing: bool, as_json: bool
) -> None:
    """Show what would be changed on the relay; unless `is_dry`, do it, and pin the relay's host key.

    With `as_json` the lines for people are talk, and one object holds what they say. Raises UsageError where
    there are changes, nobody has agreed to them (`is_agreed`) and nobody can be asked; ChatVaultError where
    another key is pinned for the relay, unless `is_replacing` or somebody agrees to it.
    """
    is_only_shown = is_dry or not (is_agreed or sys.stdin.isatty())
    plan = _plan(context, destination, may_make_key=not is_only_shown)
    for line in plan.shown.lines:
        (output.talk if as_json else output.show)(line)
    for host, port, shown in plan.hosts():
        host_keys.agree(context.places.ssh_dir, host, port, shown, is_agreed=is_replacing)
    if is_dry or (is_only_shown and plan.shown.changes):
        if as_json:
            output.show_json(plan.told(is_dry=is_dry, changes=plan.shown.changes, is_made=False))
        _tell_shown(plan)
        if not is_dry:
            raise UsageError(
                f"there is no one to ask whether these {plan.shown.changes} changes shall be made",
                hint=f"chatvault tunnel setup {destination} --yes makes them",
            )
        return
    changes = _make(plan, destination, is_agreed=is_agreed)
    are_pinned = [host_keys.pin(context.places.ssh_dir, *host) for host in plan.hosts()]
    output.talk(f"{changes} changes were made on {plan.place.host}.")
    tunnel_way.tell_settings(_settings(context), plan.place)
    tunnel_way.tell_hops(plan.place, plan.public_key, are_pinned[1:])
    if as_json:
        output.show_json(plan.told(is_dry=False, changes=changes, is_made=changes > 0))


def pin(context: Context, destination: str, fingerprint: str, *, is_replacing: bool) -> None:
    """Pin the host key the relay shows, if it has `fingerprint`. Raises ChatVaultError where it hasn't.

    Raises UsageError for what is no fingerprint.
    """
    import asyncio

    from chatvault.tunnel import keys, known_hosts
    from chatvault.tunnel.user_ssh import check_destination, host_keys_of, place_of

    if not _FINGERPRINT.fullmatch(fingerprint):
        raise UsageError(
            f"{fingerprint!r} is no fingerprint of a host key", hint=f"{ON_RELAY}, on the relay, shows it"
        )
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
            hint=f"{ON_RELAY}, on the relay, shows the right one",
        )
    host_keys.agree(context.places.ssh_dir, place.host, place.port, shown, is_agreed=is_replacing)
    known_hosts.pin(context.places.ssh_dir, place.host, place.port, shown)
    output.talk(f"pinned  {place.host}  {fingerprint}")
    settings = _settings(context)
    if settings.host in (None, place.host):
        tunnel_way.tell_settings(settings, place)


def _plan(context: Context, destination: str, *, may_make_key: bool) -> _Plan:
    from chatvault.tunnel import keys
    from chatvault.tunnel.setup import run_script
    from chatvault.tunnel.user_ssh import host_keys_of, place_of

    ssh_dir = context.places.ssh_dir
    place = place_of(destination)
    is_example = not may_make_key and not keys.key_file(ssh_dir).exists()
    public = keys.sample() if is_example else keys.ensure_key(ssh_dir)
    text = _script(_settings(context), public)
    shown = run_script(destination, text, is_dry=True)
    keys_of_hops = tuple((hop, host_keys_of(hop.words)) for hop in place.jump)
    return _Plan(place, public, is_example, text, shown, keys_of_hops)


def _tell_shown(plan: _Plan) -> None:
    tunnel_way.tell_way(plan.place)
    output.talk(f"{plan.shown.changes} changes would be made on {plan.place.host}; none was.")
    if plan.is_example:
        output.talk("The key shown is an example: there is none yet, and what only shows makes none.")


def _make(plan: _Plan, destination: str, *, is_agreed: bool) -> int:
    """Make the changes, once somebody agrees; return how many there were."""
    from chatvault.tunnel.setup import run_script

    if not plan.shown.changes:
        return 0
    if not is_agreed:
        output.talk(f"Make these {plan.shown.changes} changes on {destination}? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ChatVaultError("nothing was changed", hint="--yes makes the changes without asking")
    done = run_script(destination, plan.script, is_dry=False)
    for line in done.lines:
        output.talk(line)
    # Somebody may have been there since it was shown.
    return done.changes


def _script(settings: TunnelSettings, public_key: str) -> str:
    from chatvault.tunnel import relay_script

    return relay_script.relay_script(user=settings.user, port=settings.remote_port, public_key=public_key)


def _settings(context: Context) -> TunnelSettings:
    return context.settings().tunnel if context.places.config.exists() else TunnelSettings()
