"""The user's own `ssh` command: what their settings make of a destination, and running something there.

The daemon has no part in those settings: an alias, a port or a host on the way that stands there has to be
told to it in its own. `ssh -G` says what they come to.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatvault.errors import ChatVaultError, UsageError
from chatvault.tunnel.relay import parse_jump

SSH = ("ssh",)
# Longer than any host takes that is there; without it the kernel waits for over two minutes. What the user's
# settings have a login do besides is not for this one: ssh refuses a second command, and a port that one of
# their forwards listens on may be taken.
_OPTIONS = (
    *("-T", "-o", "ConnectTimeout=20", "-o", "RemoteCommand=none"),
    *("-o", "PermitLocalCommand=no", "-o", "ClearAllForwardings=yes"),
)
# Settings that leave no command running, or none that is heard. Older versions of ssh don't know them.
_COMMANDLESS = {
    "sessiontype": ("SessionType", "default"),
    "stdinnull": ("StdinNull", "no"),
}
_SECONDS = 180.0
_DESTINATION = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:.]+\]?)"
)
_WITH_PORT = re.compile(r"(?:ssh://)?[^\s:/]+:\d+|(?:ssh://)?[^\s:/]*\[[0-9A-Fa-f:.]+\]:\d+")
# Hosts on the way may have hosts on the way: settings that go in a circle end somewhere.
_MOST_HOPS = 8
_KINDS = ("ssh-ed25519", "ecdsa-sha2-")
_HOST_KEYS = "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key.pub"


@dataclass(frozen=True, slots=True)
class Hop:
    """A host on the way; `words` have the user's `ssh` go there."""

    user: str
    host: str
    port: int
    words: tuple[str, ...]

    @property
    def setting(self) -> str:
        """The hop as `tunnel.jump` has it."""
        where = bracketed(self.host) if self.port == 22 else self.address
        return f"{self.user}@{where}"

    @property
    def address(self) -> str:
        """Its host and port as sshd's settings have them."""
        return f"{bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where `ssh` goes for a destination, and over which hosts, after the user's own settings.

    With `has_command` a ProxyCommand makes the connection, which nobody but ssh can follow.
    """

    host: str
    port: int
    jump: tuple[Hop, ...] = ()
    has_command: bool = False


def bracketed(host: str) -> str:
    """Return a host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def check_destination(destination: str) -> str:
    """Return USER@HOST or HOST as `ssh` takes it. Raises UsageError: it must not pass for an option."""
    if _WITH_PORT.fullmatch(destination):
        raise UsageError(
            f"{destination!r} has a port in it", hint="give the host a name and its Port in ~/.ssh/config"
        )
    if not _DESTINATION.fullmatch(destination):
        raise UsageError(f"{destination!r} is not USER@HOST", hint="chatvault tunnel setup admin@203.0.113.5")
    # ssh takes an IPv6 address without the brackets alone.
    return destination.replace("[", "").replace("]", "")


def place_of(destination: str, *, ssh: Sequence[str] = SSH) -> Place:
    """Ask `ssh` where it would go. Raises ChatVaultError where it can't say."""
    facts = _facts(ssh, ["--", check_destination(destination)])
    for name, (setting, wanted) in _COMMANDLESS.items():
        if facts.get(name, wanted) != wanted:
            raise ChatVaultError(
                f"your ssh settings have {setting} {facts[name]} for {destination}: no script runs there",
                hint="give the relay a Host of its own in ~/.ssh/config, without it",
            )
    jump, has_command = _way(ssh, facts, _MOST_HOPS)
    return Place(facts.get("hostname", destination.rpartition("@")[2]), _port(facts), jump, has_command)


def host_keys_of(words: Sequence[str], *, ssh: Sequence[str] = SSH) -> tuple[str, ...]:
    """Return the host keys that a host tells the user's `ssh`, which `words` have go there.

    None where it runs no command.
    """
    try:
        done = run([*ssh, *_OPTIONS, *words, _HOST_KEYS], None, seconds=30.0)
    except ChatVaultError:
        return ()
    lines = (line.split() for line in done.stdout.splitlines())
    return tuple(
        f"{words[0]} {words[1]}" for words in lines if len(words) > 1 and words[0].startswith(_KINDS)
    )


def run_there(
    destination: str, command: str, stdin: str, *, ssh: Sequence[str] = SSH
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a shell there. Raises ChatVaultError where `ssh` can't be run or does not end."""
    return run([*ssh, *_OPTIONS, "--", check_destination(destination), command], stdin)


def run(
    command: Sequence[str], stdin: str | None, *, seconds: float = _SECONDS
) -> "subprocess.CompletedProcess[str]":
    """Run a command and return what it said. Raises ChatVaultError."""
    try:
        # A banner may be in any encoding.
        return subprocess.run(
            command,
            input=stdin or "",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as exc:
        raise ChatVaultError(
            "there is no `ssh` command on this machine",
            hint="`chatvault tunnel setup USER@HOST --print` gives the script to run there by hand",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise ChatVaultError(f"{command[0]} did not come back within {seconds:.0f} s") from exc


def _facts(ssh: Sequence[str], words: Sequence[str]) -> Mapping[str, str]:
    done = run([*ssh, "-G", *words], None)
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def _way(ssh: Sequence[str], facts: Mapping[str, str], most: int) -> tuple[tuple[Hop, ...], bool]:
    """Return the hosts on the way, and whether a ProxyCommand is on it, as `ssh` goes (ssh_config(5)).

    The first of a list goes its own way; each of the others is reached over those before it and no other.
    """
    has_command = facts.get("proxycommand", "none") != "none"
    listed = facts.get("proxyjump", "none")
    if listed == "none":
        return (), has_command
    if not most:
        raise ChatVaultError(
            "the ProxyJump lines of your ssh settings go in a circle", hint="look at ~/.ssh/config"
        )
    hops: list[Hop] = []
    before: list[str] = []
    for text in listed.replace("ssh://", "").split(","):
        user, host, port = parse_jump(text)
        way = [*(["-l", user] if user else []), *(["-p", str(port)] if _has_port(text) else []), "--", host]
        of_hop = _facts(ssh, way)
        if not before:
            further, has_command = _way(ssh, of_hop, most - 1)
            hops += further
        words = (*(("-J", ",".join(before)) if before else ()), *way)
        hops.append(Hop(of_hop.get("user", user), of_hop.get("hostname", host), _port(of_hop), words))
        before.append(text)
    return tuple(hops), has_command


def _has_port(text: str) -> bool:
    return re.search(r"(?:\]|^[^\[]*):\d+$", text) is not None


def _port(facts: Mapping[str, str]) -> int:
    return int(facts.get("port", "22"))
