"""Machines of a test's own: network namespaces with an init each, gone when that init is killed."""

import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces")


class Machine:
    """A network namespace, and with `has_files` mounts and processes of its own too."""

    def __init__(self, name: str, *, has_files: bool = False) -> None:
        self.name = name
        self._has_files = has_files
        kinds = ["--net"]
        if has_files:
            kinds += ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
        self._anchor = subprocess.Popen(
            ["unshare", *kinds, "sleep", "infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.pid = self._anchor.pid
        self._started: list[subprocess.Popen[Any]] = []
        self._wait_for_namespace()
        self.run("ip", "link", "set", "lo", "up")

    def _wait_for_namespace(self) -> None:
        own = os.stat("/proc/self/ns/net").st_ino
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if os.stat(f"/proc/{self._anchor.pid}/ns/net").st_ino != own:
                child = self._child() if self._has_files else self._anchor.pid
                if child is not None:
                    self.pid = child
                    return
            time.sleep(0.01)
        raise AssertionError("the namespace was not made")

    def _child(self) -> int | None:
        # With a process namespace the anchor is its first child, which may not have become `sleep` yet.
        text = Path(f"/proc/{self._anchor.pid}/task/{self._anchor.pid}/children").read_text().split()
        if not text:
            return None
        try:
            is_ready = Path(f"/proc/{text[0]}/comm").read_text().strip() == "sleep"
        except OSError:
            return None
        return int(text[0]) if is_ready else None

    def _inside(self, args: Sequence[str]) -> list[str]:
        # `ip` needs nothing but the network, and names processes as this machine does.
        is_whole = self._has_files and args[0] not in ("ip", "tc", "ss")
        kinds = ["--net", "--mount", "--pid"] if is_whole else ["--net"]
        return ["nsenter", "--target", str(self.pid), *kinds, "--", *args]

    def run(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command there and return what it printed."""
        done = subprocess.run(
            self._inside(args), input=stdin or "", capture_output=True, text=True, timeout=60
        )
        assert not check or done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + (done.stderr if not check else "")

    def popen(self, *args: str, **more: Any) -> "subprocess.Popen[Any]":
        """Start a process there; it ends with the machine."""
        more.setdefault("stdin", subprocess.DEVNULL)
        started = subprocess.Popen(self._inside(args), **more)
        self._started.append(started)
        return started

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread that stands in this machine's network; so do the sockets it makes."""
        result: list[T] = []
        failure: list[BaseException] = []

        def inside() -> None:
            try:
                with open(f"/proc/{self.pid}/ns/net") as namespace:
                    assert _libc.setns(namespace.fileno(), _CLONE_NEWNET) == 0, os.strerror(
                        ctypes.get_errno()
                    )
                result.append(work())
            except BaseException as exc:
                failure.append(exc)

        thread = threading.Thread(target=inside, name=f"in {self.name}")
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result[0]

    def connect(self, host: str, port: int, *, timeout: float = 10.0) -> socket.socket:
        """Open a TCP connection from here."""
        return self.call(lambda: socket.create_connection((host, port), timeout))

    def close(self) -> None:
        """End everything that runs here, and the machine."""
        for started in self._started:
            if started.poll() is None:
                started.terminate()
                try:
                    started.wait(5)
                except subprocess.TimeoutExpired:
                    started.kill()
                    started.wait(5)
        os.killpg(self._anchor.pid, signal.SIGKILL)
        self._anchor.wait(10)


def cable(one: Machine, other: Machine, names: tuple[str, str], net: str) -> None:
    """Lay a cable between two machines: 10.NET.0.1 and .2, fdNET::1 and ::2."""
    one.run("ip", "link", "add", names[0], "type", "veth", "peer", "name", names[1], "netns", str(other.pid))
    for machine, name, last in ((one, names[0], "1"), (other, names[1], "2")):
        machine.run("ip", "addr", "add", f"10.{net}.0.{last}/24", "dev", name)
        machine.run("ip", "-6", "addr", "add", f"fd{net}::{last}/64", "dev", name, "nodad")
        machine.run("ip", "link", "set", name, "up")


class Wire:
    """The machine between home and the relay; cut, it drops everything and tells nobody."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.mend()

    def cut(self) -> None:
        """Drop every packet from here on, silently."""
        self._forward("0")

    def mend(self) -> None:
        """Carry packets again."""
        self._forward("1")

    def _forward(self, value: str) -> None:
        self._machine.run("sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_forward")

    def shape(self, rate: str) -> None:
        """Let no more than `rate` leave for the relay."""
        self._machine.run(
            "tc",
            "qdisc",
            "replace",
            "dev",
            "wire1",
            "root",
            "tbf",
            "rate",
            rate,
            "burst",
            "16kb",
            "limit",
            "64kb",
        )


@dataclass(frozen=True)
class Network:
    """Four machines: home — wire — relay — device.

    From home the relay is 10.79.0.2; its public side is 10.78.0.1, fd78::1. The device: 10.78.0.2, fd78::2.
    """

    home: Machine
    wire: Wire
    relay: Machine
    device: Machine

    def link_down(self) -> None:
        """Take home's own network away."""
        self.home.run("ip", "link", "set", "home0", "down")

    def link_up(self) -> None:
        """Give it back."""
        self.home.run("ip", "link", "set", "home0", "up")
        self.home.run("ip", "route", "replace", "default", "via", "10.77.0.2")


@contextmanager
def network() -> Iterator[Network]:
    """Make the four machines, and end them with all that runs on them."""
    made: list[Machine] = []
    try:
        for name in ("home", "wire", "relay", "device"):
            made.append(Machine(name, has_files=name in ("relay", "wire")))
        home, between, relay, device = made
        cable(home, between, ("home0", "wire0"), "77")
        cable(between, relay, ("wire1", "relay0"), "79")
        cable(relay, device, ("relay1", "device0"), "78")
        home.run("ip", "route", "add", "default", "via", "10.77.0.2")
        relay.run("ip", "route", "add", "10.77.0.0/24", "via", "10.79.0.1")
        # Home reaches the relay's public side too: the outside check dials it.
        between.run("ip", "route", "add", "10.78.0.0/24", "via", "10.79.0.2")
        yield Network(home, Wire(between), relay, device)
    finally:
        for machine in reversed(made):
            machine.close()
