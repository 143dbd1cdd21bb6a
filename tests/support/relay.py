"""A relay with a real sshd on a machine of its own, its /etc, /var and /usr/local apart from this one's."""

import os
import subprocess
import time
from pathlib import Path

from tests.support.namespaces import Machine

SSHD = "/usr/sbin/sshd"
_CONFIG = """
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel DEBUG1
MaxStartups 200:30:400
Include /etc/ssh/sshd_config.d/*.conf
Subsystem sftp internal-sftp
"""


class RelayHost:
    """A machine that is a relay. `folder` is seen from both sides, for keys and logs."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.log_path = folder / "sshd.log"
        self._own_files()
        machine.run(
            "sh", "-c", "rm -f /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d/*; mkdir -p /etc/ssh/sshd_config.d"
        )
        machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/ssh_host_ed25519_key")
        self.write("/etc/ssh/sshd_config", _CONFIG)
        self.host_key = machine.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").strip()

    def _own_files(self) -> None:
        # tmpfs copies: nothing that is written on the relay reaches this machine.
        self.machine.run("mount", "--make-rprivate", "/")
        for path in ("/etc",):
            self.machine.run(
                "sh",
                "-c",
                f"d=$(mktemp -d /dev/shm/cvrelay.XXXXXX) && mount -t tmpfs none $d && "
                f"cp -a {path}/. $d/ && mount --move $d {path} && rmdir $d",
            )
        for path in ("/run", "/var/lib", "/home", "/root", "/usr/local"):
            self.machine.run("mount", "-t", "tmpfs", "-o", "mode=755", "none", path)
        self.machine.run("sh", "-c", "mkdir -p /run/sshd && chmod 755 /run/sshd")

    def write(self, path: str, text: str, *, mode: str = "644") -> None:
        """Write a file on the relay."""
        self.machine.run(
            "sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chmod {mode} {path}", stdin=text
        )

    def read(self, path: str) -> str:
        """Read a file of the relay."""
        return self.machine.run("cat", path)

    def start_sshd(self, *options: str) -> None:
        """Start sshd, and return once it listens."""
        with self.log_path.open("ab") as log:
            self.machine.popen(SSHD, "-D", "-e", *options, stdout=log, stderr=log)
        self.wait_for_port(22)

    def wait_for_port(self, port: int, *, seconds: float = 10.0) -> None:
        """Wait until something listens on a port of the relay."""
        deadline = time.monotonic() + seconds
        while f":{port} " not in self.machine.run("ss", "-Hltn"):
            assert time.monotonic() < deadline, f"nobody listens on {port}:\n{self.log}"
            time.sleep(0.02)

    def stop_sshd(self) -> None:
        """End sshd and every session of it, as a crash would."""
        self.machine.run("sh", "-c", "pkill -KILL -x sshd; rm -f /run/sshd.pid", check=False)

    def kill_sessions(self) -> None:
        """End the sessions and leave the server."""
        self.machine.run("sh", "-c", "pkill -KILL -f '^sshd: chatvault-relay'", check=False)

    @property
    def log(self) -> str:
        """What sshd has said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def memory_bytes(self) -> int:
        """The resident memory of the largest sshd process."""
        text = self.machine.run("ps", "-C", "sshd", "-o", "rss=", check=False)
        return max((int(each) for each in text.split() if each.isdigit()), default=0) * 1024

    def let_root_in(self, folder: Path) -> Path:
        """Let root log in with a key of its own; return a folder with an `ssh` that uses it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = folder / "admin_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        self.machine.run(
            "sh",
            "-c",
            "mkdir -p /root/.ssh && cat > /root/.ssh/authorized_keys",
            stdin=key.with_suffix(".pub").read_text(),
        )
        hosts = folder / "admin_known_hosts"
        hosts.write_text(f"10.79.0.2 {' '.join(self.host_key.split()[:2])}\n")
        ssh = folder / "ssh"
        ssh.write_text(
            f"#!/bin/sh\nexec /usr/bin/ssh -F none -i {key} -o IdentitiesOnly=yes -o BatchMode=yes "
            f'-o UserKnownHostsFile={hosts} -o GlobalKnownHostsFile=none "$@"\n'
        )
        ssh.chmod(0o755)
        return folder

    def allow_simply(
        self, public_key: str, *, options: str = 'restrict,port-forwarding,permitlisten="4000"'
    ) -> None:
        """Let the tunnel's key in, as a person would by hand: a user and one line, no take-over."""
        self.machine.run(
            "sh",
            "-c",
            "id chatvault-relay >/dev/null 2>&1 || "
            'useradd --system --comment "ChatVault\'s tunnel" --home-dir /var/lib/chatvault-relay '
            "--create-home --shell /usr/sbin/nologin chatvault-relay; usermod -p '*' chatvault-relay",
        )
        self.write("/etc/ssh/chatvault_keys", f"{options} {public_key}\n")
        self.write(
            "/etc/ssh/sshd_config.d/10-test.conf",
            "Match User chatvault-relay\n  AuthorizedKeysFile /etc/ssh/chatvault_keys\n"
            "  GatewayPorts clientspecified\n  ClientAliveInterval 5\n  ClientAliveCountMax 2\nMatch all\n",
        )


def is_installed() -> bool:
    """Whether a real sshd is on this machine."""
    return os.path.exists(SSHD)
