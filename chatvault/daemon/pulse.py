"""The daemon's pulse: once a second, on the very loop that serves, systemd hears that it turns and how it is.

A thread would go on feeding the watchdog while the loop hangs; a task of the loop can't.
"""

import asyncio
from collections.abc import Callable

from chatvault.daemon.notify import Notifier

_EVERY_SECONDS = 1.0


async def beat(notifier: Notifier, status: Callable[[], str]) -> None:
    """Feed the watchdog and keep the status line right, for as long as the daemon runs."""
    # The manager counts from the last word: a third of its patience leaves room for two lost ones.
    patience = notifier.watchdog_seconds
    pause = _EVERY_SECONDS if patience is None else min(_EVERY_SECONDS, patience / 3)
    while True:
        notifier.alive()
        notifier.status(status())
        await asyncio.sleep(pause)
