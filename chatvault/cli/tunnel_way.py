"""What `chatvault tunnel setup` says of the way to the relay: what the settings need, and the hosts on it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatvault.cli import output
from chatvault.config.settings import TunnelSettings

if TYPE_CHECKING:
    from chatvault.tunnel.user_ssh import Place


def tell_way(place: "Place") -> None:
    """Say what the tunnel makes of the way that the user's ssh goes, where that is not a plain one."""
    from chatvault.tunnel.user_ssh import bracketed

    if place.has_command:
        first = place.jump[0].address if place.jump else f"{bracketed(place.host)}:{place.port}"
        output.talk(
            f"Your ssh reaches {first} by a ProxyCommand, which the tunnel can't do: it dials that itself. "
            "If it can't from here, name the hosts on the way in tunnel.jump."
        )
    if place.jump:
        way = ", ".join(hop.setting for hop in place.jump)
        output.talk(f"Your ssh goes to {place.host} over {way}: so must the tunnel, by tunnel.jump.")


def tell_settings(settings: TunnelSettings, place: "Place") -> None:
    """Say what config.yaml needs for the tunnel to go to `place`, or that it has it."""
    from chatvault.tunnel.relay import parse_jump

    tell_way(place)
    has_way = [parse_jump(hop) for hop in settings.jump] == [parse_jump(hop.setting) for hop in place.jump]
    is_there = (settings.enabled, settings.host, settings.port) == (True, place.host, place.port)
    if is_there and (has_way or not place.jump):
        output.talk("Now: chatvault tunnel up")
        return
    parts = ["enabled: true", f"host: {_scalar(place.host)}"]
    if place.port != 22:
        parts.append(f"port: {place.port}")
    if place.jump:
        parts.append(f"jump: [{', '.join(_scalar(hop.setting) for hop in place.jump)}]")
    output.talk(f"Now set in config.yaml `tunnel: {{{', '.join(parts)}}}`; then: chatvault config reload")


def tell_hops(place: "Place", public_key: str, are_pinned: Sequence[bool]) -> None:
    """Say what each host on the way needs: the tunnel logs in with its own key, and knows it by its pin."""
    from chatvault.tunnel.user_ssh import bracketed

    nexts = [*(hop.address for hop in place.jump[1:]), f"{bracketed(place.host)}:{place.port}"]
    for hop, to, is_pinned in zip(place.jump, nexts, are_pinned, strict=False):
        key = " ".join(public_key.split()[:2])
        output.talk(f"On {hop.address}, this line in the authorized keys of {hop.user} lets the tunnel pass:")
        output.talk(
            f'  restrict,port-forwarding,permitopen="{to}",permitlisten="localhost:1",command="/bin/false" '
            f"{key} chatvault"
        )
        if not is_pinned:
            output.talk(
                "It did not tell its host key. On it: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; "
                f"here: chatvault tunnel setup {hop.words[-1]} --pin SHA256:…"
            )


def _scalar(text: str) -> str:
    return f"'{text}'" if ":" in text else text
