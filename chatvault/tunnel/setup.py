"""Setting up the relay over the user's own SSH: their `ssh` command, with their keys, agent and settings."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from chatvault.errors import ChatVaultError, UsageError

_SECONDS = 180.0
_DESTINATION = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[?[0-9A-Fa-f:.]+\]?)"
)
_WITH_PORT = re.compile(r"(?:ssh://)?[^\s:/]+:\d+|(?:ssh://)?[^\s:/]*\[[0-9A-Fa-f:.]+\]:\d+")
# Root runs the script as it is; anyone else needs a sudo that asks for no password.
_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then exec sh -s -- {mode}; else exec sudo -n sh -s -- {mode}; fi'
# Of the login's own shell, which may be fish or csh, no more is asked than to start another.
_COMMAND = f"exec sh -c '{_AS_ROOT}'"
# Longer than any host takes that is there; without it the kernel waits for over two minutes.
_CONNECT = ("-o", "ConnectTimeout=20")


@dataclass(frozen=True, slots=True)
class Place:
    """Where `ssh` goes for a destination, after the user's own settings."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the script said: its lines for people, how much it changed, and the relay's host keys."""

    lines: tuple[str, ...]
    changes: int
    host_keys: tuple[str, ...]


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


def place_of(destination: str, *, ssh: Sequence[str] = ("ssh",)) -> Place:
    """Ask `ssh` where it would go: an alias of the user's settings is nothing to the daemon."""
    done = _run([*ssh, "-G", "--", check_destination(destination)], None)
    facts = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    return Place(facts.get("hostname", destination.rpartition("@")[2]), int(facts.get("port", "22")))


def run_script(destination: str, script: str, *, is_dry: bool, ssh: Sequence[str] = ("ssh",)) -> Outcome:
    """Run the relay script there, showing (`is_dry`) or doing. Raises ChatVaultError with what went wrong."""
    command = _COMMAND.format(mode="show" if is_dry else "apply")
    done = _run([*ssh, "-T", *_CONNECT, "--", check_destination(destination), command], script)
    lines = tuple(done.stdout.splitlines())
    for line in lines:
        if line.startswith("error "):
            raise ChatVaultError(f"{destination}: {line.removeprefix('error ')}")
    counts = [line.split()[1] for line in lines if line.startswith("changes ")]
    if done.returncode != 0 or not counts:
        raise _failure(destination, done)
    return Outcome(
        tuple(line for line in lines if not line.startswith(("hostkey ", "changes "))),
        int(counts[-1]),
        tuple(line.removeprefix("hostkey ") for line in lines if line.startswith("hostkey ")),
    )


def _run(command: Sequence[str], stdin: str | None) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, input=stdin or "", capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except FileNotFoundError as exc:
        raise ChatVaultError(
            "there is no `ssh` command on this machine",
            hint="`chatvault tunnel setup USER@HOST --print` gives the script to run there by hand",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise ChatVaultError(f"{command[0]} did not come back within {_SECONDS:.0f} s") from exc


def _failure(destination: str, done: "subprocess.CompletedProcess[str]") -> ChatVaultError:
    said = " ".join((done.stderr or done.stdout).split())[-300:]
    if "sudo" in said:
        return ChatVaultError(
            f"{destination}: sudo asks for a password, and there is nobody to ask",
            hint=f"chatvault tunnel setup {destination} --print, and run that script there with sudo",
        )
    return ChatVaultError(
        f"{destination}: {said or 'the script did not run to its end'}",
        hint=f"does `ssh {destination}` work?",
    )
