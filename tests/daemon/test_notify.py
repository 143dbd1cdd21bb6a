"""What systemd is told."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from chatvault.daemon.notify import Notifier
from chatvault.daemon.pulse import beat
from tests.support.waiting import until


def manager(address: str) -> socket.socket:
    """Listen as the service manager does."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(5)
    return listener


def heard(listener: socket.socket) -> str:
    return listener.recv(4096).decode()


def test_the_manager_hears_each_turn_of_a_life(tmp_path: Path) -> None:
    with manager(str(tmp_path / "n")) as listener:
        notifier = Notifier.from_environ({"NOTIFY_SOCKET": str(tmp_path / "n")}, pid=7)
        notifier.ready("Serving\nhere")
        notifier.status("Serving\nhere")
        notifier.status("busy")
        notifier.reloading()
        notifier.stopping("bye")
        notifier.alive()
        notifier.close()

        assert heard(listener) == "READY=1\nSTATUS=Serving here"
        assert heard(listener) == "STATUS=busy"
        reloading, clock = heard(listener).splitlines()
        assert reloading == "RELOADING=1"
        assert int(clock.removeprefix("MONOTONIC_USEC=")) > 0
        assert heard(listener) == "STOPPING=1\nSTATUS=bye"
        assert heard(listener) == "WATCHDOG=1"


def test_an_abstract_address_is_understood() -> None:
    with manager("\0chatvault-test-notify") as listener:
        notifier = Notifier("@chatvault-test-notify")
        notifier.alive()
        assert heard(listener) == "WATCHDOG=1"
        notifier.close()


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_without_a_manager_nothing_is_sent_and_nothing_fails(environ: dict[str, str]) -> None:
    notifier = Notifier.from_environ(environ, pid=7)
    notifier.ready("x")
    notifier.alive()
    assert notifier.watchdog_seconds is None


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "500000"}, 0.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_fed_only_where_it_waits_for_us(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier.from_environ(environ, pid=7).watchdog_seconds == seconds


def test_the_pulse_stops_with_the_loop_it_beats_on(tmp_path: Path) -> None:
    async def main(listener: socket.socket) -> int:
        notifier = Notifier(str(tmp_path / "n"), watchdog_seconds=0.06)
        task = asyncio.ensure_future(beat(notifier, lambda: "well"))
        listener.setblocking(False)
        await until(lambda: drain(listener))
        while drain(listener):
            pass
        # The loop hangs: nobody may feed the watchdog meanwhile.
        time.sleep(0.2)
        fed = drain(listener)
        task.cancel()
        notifier.close()
        return fed

    with manager(str(tmp_path / "n")) as listener:
        assert asyncio.run(main(listener)) == 0


def drain(listener: socket.socket) -> int:
    try:
        return len(listener.recv(4096))
    except BlockingIOError:
        return 0
