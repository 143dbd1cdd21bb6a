"""The daemon at home, on a machine of its own, with a tunnel to a relay on another one."""

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chatvault.control.client import ControlClient
from chatvault.errors import ChatVaultError
from tests.support.daemon import Daemon
from tests.support.namespaces import Machine

RELAY_HOST = "10.79.0.2"
PUBLIC_HOST = "10.78.0.1"
PUBLIC_HOST_V6 = "fd78::1"


class HomeDaemon(Daemon):
    """`chatvault serve` on `machine`; everything else as on this one: its files are seen from here."""

    def __init__(self, machine: Machine, home: Path, config: Mapping[str, Any], **more: Any) -> None:
        super().__init__(home, config, **more)
        self.machine = machine
        self.port = 4000

    def start(self, *args: str, seconds: float = 30.0) -> Self:
        """Start, and return once the control socket answers."""
        command = [sys.executable, "-X", "faulthandler", "-m", "chatvault", "serve", "--port", str(self.port)]
        with self.log_path.open("ab") as log:
            self.process = self.machine.popen(
                *command, *args, cwd=self.home, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"serve exited with {self.process.returncode}:\n{self.log}"
            try:
                self.ask("/v1/status")
                return self
            except ChatVaultError:
                assert time.monotonic() < deadline, f"no answer after {seconds} s:\n{self.log}"
            time.sleep(0.02)

    def ask(self, path: str) -> dict[str, Any]:
        """Ask the control socket."""
        return dict(ControlClient(self.home / "run" / "control.sock").get(path))

    def tell(self, path: str) -> dict[str, Any]:
        """Have the daemon do something."""
        return dict(ControlClient(self.home / "run" / "control.sock").post(path))

    def tunnel(self) -> dict[str, Any]:
        """The tunnel's status."""
        return self.ask("/v1/tunnel/status")

    def wait_for(self, state: str, *, seconds: float = 30.0) -> float:
        """Wait until the tunnel is in `state`, and return how long that took, in seconds."""
        began = time.monotonic()
        while (found := self.tunnel())["state"] != state:
            assert time.monotonic() - began < seconds, f"{found}\n{self.log}"
            time.sleep(0.01)
        return time.monotonic() - began

    def run(
        self, *args: str, stdin: str | None = None, seconds: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the daemon's machine."""
        command = [
            "nsenter",
            "--target",
            str(self.machine.pid),
            "--net",
            "--",
            sys.executable,
            "-m",
            "chatvault",
        ]
        return subprocess.run(
            [*command, *args],
            cwd=self.home,
            env=self.env,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=seconds,
        )


def tunnel_config(**more: Any) -> dict[str, Any]:
    """Settings of a daemon with an echo and a tunnel over plain HTTP."""
    tunnel = {"enabled": True, "host": RELAY_HOST, "allow_plain_http": True, **more.pop("tunnel", {})}
    server = {"public_url": f"http://{PUBLIC_HOST}:4000", **more.pop("server", {})}
    return {"providers": {"echo": {"kind": "echo"}}, **more, "server": server, "tunnel": tunnel}


def tls_config(cert: str, key: str, **more: Any) -> dict[str, Any]:
    """Settings of a daemon that speaks TLS, on IPv4 and IPv6."""
    server = {
        "public_url": f"https://{PUBLIC_HOST}:4000",
        "allowed_hosts": [PUBLIC_HOST_V6],
        "tls": {"cert": cert, "key": key},
        **more.pop("server", {}),
    }
    tunnel = {"allow_plain_http": False, **more.pop("tunnel", {})}
    return tunnel_config(tunnel=tunnel, server=server, **more)
