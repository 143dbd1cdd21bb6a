"""SIGTERM and SIGINT: the first asks the daemon to stop, the second not to wait for running answers."""

import asyncio
import signal


class StopSignal:
    """`told` is set by the first signal, `hurry` by the second; `reason` names the first."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reason = ""

    def listen(self) -> None:
        """Take the signals from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number.name)

    def _on_signal(self, name: str) -> None:
        if self.told.is_set():
            self.hurry.set()
        self.reason = self.reason or name
        self.told.set()
