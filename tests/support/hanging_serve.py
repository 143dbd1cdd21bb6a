"""The program, but for one thing: on SIGUSR2 its event loop hangs for ten minutes, while its threads live on.

Run it as the program itself: `python -P hanging_serve.py serve`.
"""

import asyncio
import os
import signal
import sys
import threading
import time

from chatvault.__main__ import main

LIVES = "a thread of the hung daemon lives"
_SECONDS = 600.0


def _live() -> None:
    while True:
        os.write(2, f"{LIVES}\n".encode())
        time.sleep(0.2)


def _hang() -> None:
    threading.Thread(target=_live, name="lives on", daemon=True).start()
    time.sleep(_SECONDS)


def _on_signal(number: int, frame: object) -> None:
    # A callback of the loop's own, as a blocking call would be that someone forgot there.
    asyncio.get_running_loop().call_soon_threadsafe(_hang)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, _on_signal)
    sys.exit(main())
