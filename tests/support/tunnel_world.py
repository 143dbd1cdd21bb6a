"""A home, a relay with a real sshd and a device, set up as `chatvault tunnel setup` does it."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chatvault.tunnel import keys, known_hosts
from chatvault.tunnel.relay_script import relay_script
from chatvault.tunnel.setup import run_script
from tests.support.home import PUBLIC_HOST, PUBLIC_HOST_V6, RELAY_HOST, HomeDaemon, tls_config, tunnel_config
from tests.support.namespaces import Network, network
from tests.support.relay import RelayHost


@dataclass
class World:
    """Everything between a model and a phone. `folder` holds a home for each daemon."""

    net: Network
    relay: RelayHost
    folder: Path
    tools: Path
    daemons: int = 0

    def prepare(self, home: Path) -> str:
        """Make a home's key and pin the relay's; return the key's public half."""
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        known_hosts.pin(home / "ssh", RELAY_HOST, 22, [self.relay.host_key])
        return keys.ensure_key(home / "ssh")

    def set_up(self, public: str, *, port: int = 4000) -> None:
        """Set the relay up for a key."""
        ssh = ("nsenter", "--target", str(self.net.home.pid), "--net", "--", str(self.tools / "ssh"))
        text = relay_script(user="chatvault-relay", port=port, public_key=public)
        run_script(f"root@{RELAY_HOST}", text, is_dry=False, ssh=ssh)

    @contextmanager
    def daemon(
        self, config: Mapping[str, Any] | None = None, *, is_set_up: bool = True, is_started: bool = True
    ) -> Iterator[HomeDaemon]:
        """Run a daemon at home, its tunnel up."""
        self.daemons += 1
        home = self.folder / f"home{self.daemons}"
        public = self.prepare(home)
        if is_set_up:
            self.set_up(public)
        daemon = HomeDaemon(self.net.home, home, config or tunnel_config(), env={"PATH": self.path})
        with daemon:
            if is_started:
                daemon.start()
                if is_set_up:
                    daemon.wait_for("up")
            yield daemon

    @contextmanager
    def tls_daemon(self, **more: Any) -> Iterator[tuple[HomeDaemon, ssl.SSLContext]]:
        """Run a daemon with a certificate of its own making, its tunnel up; with it a device's context."""
        with self.daemon(is_started=False) as daemon:
            made = daemon.json("tls", "self-signed", "--name", PUBLIC_HOST, "--name", PUBLIC_HOST_V6)
            daemon.write_config(tls_config(made["cert"], made["key"], **more))
            daemon.start()
            daemon.wait_for("up")
            yield daemon, ssl.create_default_context(cafile=made["ca"])

    @property
    def path(self) -> str:
        """A PATH whose `ssh` logs in to the relay as its administrator."""
        return f"{self.tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

    def get(self, path: str, *, host: str = PUBLIC_HOST, timeout: float = 5.0, **more: Any) -> httpx.Response:
        """Ask the public port, from the device."""

        def ask() -> httpx.Response:
            where = f"[{host}]" if ":" in host else host
            return httpx.get(f"http://{where}:4000{path}", timeout=timeout, **more)

        return self.net.device.call(ask)

    def is_served(self) -> bool:
        """Whether the device meets the gateway now."""
        try:
            return self.get("/health", timeout=1.0).status_code == 200
        except httpx.HTTPError:
            return False

    def wait_until_served(self, *, seconds: float = 60.0) -> float:
        """Wait until the device meets the gateway, and return how long that took, in seconds."""
        began = time.monotonic()
        while not self.is_served():
            assert time.monotonic() - began < seconds, "the device is not served"
            time.sleep(0.02)
        return time.monotonic() - began

    def connect(self) -> socket.socket:
        """Open a connection to the public port, from the device."""
        return self.net.device.connect(PUBLIC_HOST, 4000)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make it, and end it with all that runs in it."""
    with network() as net:
        relay = RelayHost(net.relay, folder)
        tools = relay.let_root_in(folder / "tools")
        relay.start_sshd()
        made = World(net, relay, folder, tools)
        net.home.call(lambda: _wait_for_relay())
        yield made


def _wait_for_relay() -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection((RELAY_HOST, 22), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the relay can't be reached"
            time.sleep(0.05)


def until(found: Callable[[], bool], *, seconds: float, what: str) -> float:
    """Wait until `found`, and return how long that took, in seconds."""
    began = time.monotonic()
    while not found():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return time.monotonic() - began
