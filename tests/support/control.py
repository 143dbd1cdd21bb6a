"""A control socket with routes of the test's own, served in a thread."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from chatvault.control.server import ControlApp, ControlServer, Handler, bind_control_socket


@contextmanager
def serving(path: Path, routes: Mapping[tuple[str, str], Handler]) -> Iterator[Callable[[], None]]:
    """Serve `routes` at `path`; yields what asks the server to stop."""
    ready = threading.Event()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        server = ControlServer(ControlApp(routes), bind_control_socket(path), path)
        await server.start()
        loops.append(asyncio.get_running_loop())
        ready.set()
        await stop.wait()
        await server.stop()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert ready.wait(5)

    def ask_to_stop() -> None:
        loops[0].call_soon_threadsafe(stop.set)

    try:
        yield ask_to_stop
    finally:
        if thread.is_alive():
            ask_to_stop()
        thread.join(5)
