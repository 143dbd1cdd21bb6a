"""Setting up the relay over the user's own SSH: their `ssh` command, with their keys, agent and settings."""

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from chatvault.errors import ChatVaultError
from chatvault.tunnel.user_ssh import SSH, run_there

# Root runs the script as it is; anyone else needs a sudo that asks for no password, and says so in English.
_AS_ROOT = (
    'export LC_ALL=C; if [ "$(id -u)" = 0 ]; then exec sh -s -- {mode}; else exec sudo -n sh -s -- {mode}; fi'
)
# Of the login's own shell, which may be fish or csh, no more is asked than to start another.
_COMMAND = f"exec sh -c '{_AS_ROOT}'"

_BY_HAND = "chatvault tunnel setup {to} --print, and run that script there as root"
_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"
# The script's last word. A login may greet with lines of its own that begin alike.
_CHANGES = re.compile(r"changes ([0-9]{1,4})")
# A relay's banner comes among what ssh says, and what it names may be pasted into a shell.
_HOST = r"(?P<host>[\w\[:][\w.:%\[\]-]*)"
# What ssh and sudo say → what that means, and what to try. The first that fits does.
_FAILURES = (
    (
        rf"Host key for {_HOST} has changed",
        "{host} shows another host key than the one your ssh knows: a new one, or someone stands between",
        f"compare it on that host's own console: ssh-keygen -lf {_KEY_FILE}; if it is its own: "
        "ssh-keygen -R {quoted}, and again",
    ),
    (
        rf"(?:host key is known for {_HOST} and .*)?Host key verification failed",
        "your ssh does not know the host key of {host} yet, and nobody said yes to it",
        "`ssh {to}` on a terminal shows its fingerprint: compare that on the host itself, and say yes",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "{to}: {said}",
        "the user is admin on Debian, ubuntu on Ubuntu, ec2-user on Amazon Linux; its key has to be in your "
        "agent or ~/.ssh/config, so that `ssh {to}` works",
    ),
    (r"Could not resolve hostname", "{to}: {said}", "is the name right? An address does as well"),
    (
        r"Connection refused|timed out|No route to host|Network is unreachable",
        "{to}: {said}",
        "is the relay up, and its SSH port open to this machine? On EC2 its security group says",
    ),
    (r"sudo: (?:command )?not found", "{to} is not root, and there is no sudo there", _BY_HAND),
    (
        r"sudo: .*(?:password|terminal|tty)",
        "{to}: sudo asks for a password, and there is nobody to ask",
        _BY_HAND,
    ),
    (r"sudo|not in the sudoers|may not run", "{to}: {said}", _BY_HAND),
)


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
    counts = [int(found[1]) for line in lines if (found := _CHANGES.fullmatch(line))]
    if done.returncode != 0 or not counts:
        for line in lines:
            if line.startswith("error "):
                raise ChatVaultError(f"{destination}: {line.removeprefix('error ')}")
        raise _failure(destination, done)
    return Outcome(
        tuple(line for line in lines if not (line.startswith("hostkey ") or _CHANGES.fullmatch(line))),
        counts[-1],
        tuple(line.removeprefix("hostkey ") for line in lines if line.startswith("hostkey ")),
    )


def _failure(destination: str, done: "subprocess.CompletedProcess[str]") -> ChatVaultError:
    said = " ".join((done.stderr or done.stdout).split())
    for sign, message, hint in _FAILURES:
        found = re.search(sign, said)
        if found is not None:
            host = found.groupdict().get("host") or destination.rpartition("@")[2]
            words = {
                "to": destination,
                "host": host,
                "quoted": shlex.quote(host),
                "said": said.removeprefix(f"{destination}: ")[-300:],
            }
            return ChatVaultError(message.format(**words), hint=hint.format(**words))
    return ChatVaultError(
        f"{destination}: {said[-300:] or 'the script did not run to its end'}",
        hint=f"does `ssh {destination}` work?",
    )
