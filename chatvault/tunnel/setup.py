"""Setting up the relay over the user's own SSH: their `ssh` command, with their keys, agent and settings."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from chatvault.errors import ChatVaultError
from chatvault.tunnel.user_ssh import SSH, run_there

# Root runs the script as it is; anyone else needs a sudo that asks for no password.
_AS_ROOT = 'if [ "$(id -u)" = 0 ]; then exec sh -s -- {mode}; else exec sudo -n sh -s -- {mode}; fi'
# Of the login's own shell, which may be fish or csh, no more is asked than to start another.
_COMMAND = f"exec sh -c '{_AS_ROOT}'"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the script said: its lines for people, how much it changed, and the relay's host keys."""

    lines: tuple[str, ...]
    changes: int
    host_keys: tuple[str, ...]


def run_script(destination: str, script: str, *, is_dry: bool, ssh: Sequence[str] = SSH) -> Outcome:
    """Run the relay script there, showing (`is_dry`) or doing. Raises ChatVaultError with what went wrong."""
    command = _COMMAND.format(mode="show" if is_dry else "apply")
    done = run_there(destination, command, script, ssh=ssh)
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
