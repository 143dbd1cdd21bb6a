"""What holds for every test: no unexpected skip in CI, and no test that hangs."""

import faulthandler
import os
import re
import signal
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from tests.support.recordings import folder

# How long an example takes says something of the machine, not of the program.
settings.register_profile("chatvault", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chatvault")

_IS_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")
_SECONDS = 120.0
# A test stuck where no signal handler gets a turn is ended with the whole run, this much later.
_GRACE_SECONDS = 60.0

# Reason → whether it is to be expected on this machine.
_EXPECTED_SKIPS = {
    r"no recordings at hand": folder() is None,
    r"needs root": os.geteuid() != 0,
    r"needs to be another user than root": os.geteuid() == 0,
    r"needs systemd, dbus, util-linux and iproute2": not Path("/lib/systemd/systemd").exists(),
    r"needs the system's own Python": True,
    r"only at full size": os.environ.get("CHATVAULT_TEST_FULL") != "1",
    r"the embedded model is not installed": find_spec("xllamacpp") is None,
    r"no small disk can be mounted here": True,
    r"only on Python 3\.\d+": True,
}

_unexpected: list[str] = []


@pytest.fixture(scope="session")
def is_full() -> bool:
    """Whether this run is at full size."""
    return os.environ.get("CHATVAULT_TEST_FULL") == "1"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "seconds(n): may take up to n seconds instead of the usual limit")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Started in the background, as `nohup` and some CI do: what the tests start must hear Ctrl-C again.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """End a test that takes too long, and show where every thread of it stood."""
    marker = item.get_closest_marker("seconds")
    limit = float(marker.args[0]) if marker else _SECONDS

    def too_long(signum: int, frame: FrameType | None) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__)
        pytest.fail(f"took longer than {limit:.0f} s", pytrace=True)

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, limit)
    faulthandler.dump_traceback_later(limit + _GRACE_SECONDS, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def _note_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(is_expected and re.search(known, reason) for known, is_expected in _EXPECTED_SKIPS.items()):
        _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _note_skip(report)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    _note_skip(report)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if _IS_CI and _unexpected and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _IS_CI and _unexpected:
        terminalreporter.section("skips that nobody expected", red=True)
        for line in _unexpected:
            terminalreporter.write_line(line)
