"""What the daemon tells systemd: that it serves, how it is, that it reloads or stops, that it lives."""

import socket
import time
from collections.abc import Mapping

_LONGEST_STATUS = 400


class Notifier:
    """Sends the service manager's datagrams; without a manager it sends nothing.

    The protocol is sd_notify(3). `watchdog_seconds` is how often the manager wants to hear that the daemon
    lives, None where it does not ask.
    """

    def __init__(self, address: str | None, *, watchdog_seconds: float | None = None) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._status = ""
        self._socket: socket.socket | None = None
        if address is None:
            return
        # An address that begins with @ lies in the abstract namespace.
        name = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        try:
            self._socket.connect(name)
        except OSError:
            # A manager that is gone needs no news, and its absence must not keep the daemon from serving.
            self.close()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], *, pid: int) -> "Notifier":
        """Make the notifier that systemd's variables ask for, as process `pid`."""
        usec = environ.get("WATCHDOG_USEC", "")
        is_for_us = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        seconds = int(usec) / 1_000_000 if usec.isdigit() and int(usec) > 0 and is_for_us else None
        return cls(environ.get("NOTIFY_SOCKET") or None, watchdog_seconds=seconds)

    def ready(self, status: str) -> None:
        """Say that the daemon serves: after the start, and again after each reload."""
        self._status = status
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def status(self, text: str) -> None:
        """Say how things are, if that has changed."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={_one_line(text)}")

    def reloading(self) -> None:
        """Say that the settings are being read again; `ready` ends it."""
        # The manager wants to know when, on the clock it uses itself.
        usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={usec}")

    def stopping(self, status: str) -> None:
        """Say that the daemon has begun to stop."""
        self._status = status
        self._send(f"STOPPING=1\nSTATUS={_one_line(status)}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def extend(self, seconds: float) -> None:
        """Ask for so much more time to start or to stop."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def close(self) -> None:
        """Let go of the manager's socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(message.encode())
        except OSError:
            # A manager that is being restarted, or has no room: the next message comes soon.
            return


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_STATUS]
