"""SIGTERM and SIGINT: the first asks the daemon to stop, the second not to wait. SIGHUP reloads."""

import asyncio
import os
import signal
from collections.abc import Callable

_STDERR = 2


class Signals:
    """`told` is set by the first signal that ends the daemon, `hurry` by the second.

    `reason` names the first. `on_reload` is called for each SIGHUP that does not mean a terminal is gone.
    """

    def __init__(self, on_reload: Callable[[], None]) -> None:
        self.told = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reason = ""
        self._on_reload = on_reload
        self._had_terminal = os.isatty(_STDERR)

    def listen(self) -> None:
        """Take the signals from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number.name)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    def stop(self, reason: str) -> None:
        """Ask the daemon to stop, and not to wait when asked again."""
        if self.told.is_set():
            self.hurry.set()
        self.reason = self.reason or reason
        self.told.set()

    def _on_hangup(self) -> None:
        # A window that is closed takes its programs along; a terminal that is still there belongs to someone
        # who sent the signal.
        if self._had_terminal and not os.isatty(_STDERR):
            self.stop("SIGHUP")
        else:
            self._on_reload()
