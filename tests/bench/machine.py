"""What a run ran on: the machine, the versions, the pinning, the disk's own speed."""

import os
import platform
import re
import sqlite3
import statistics
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.bench.nginx import nginx_program
from tests.bench.options import Options
from tests.bench.report import say

PACKAGES = ("uvicorn", "uvloop", "httptools", "httpx", "aiohttp", "fastapi", "msgspec", "peewee", "litellm")


def circumstances(options: Options) -> dict[str, object]:
    """Gather what a figure can't be read without."""
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "load before": round(os.getloadavg()[0], 2),
        "pinning": _pinning(options),
        "chatvault": _commit(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in PACKAGES},
        "nginx": _nginx_version(),
        "durable write (fdatasync of 4 KB), median ms": round(_sync_ms(options.folder), 3),
        "folder": f"{options.folder} ({_filesystem(options.folder)})",
        "rounds": options.rounds,
        "seconds a measurement": options.seconds,
    }


def say_circumstances(found: dict[str, object]) -> None:
    """Write them to stdout."""
    say("# ChatVault's benchmarks\n")
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        say(f"{name}: {value}")


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _pinning(options: Options) -> str:
    if options.server_cpu is None:
        return "none"
    return f"the server on core {options.server_cpu}, the mock and the load on core {options.load_cpu}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def _nginx_version() -> str:
    program = nginx_program()
    if program is None:
        return "absent"
    return subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stderr.strip()


def _filesystem(folder: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _sync_ms(folder: Path) -> float:
    """Return the median time a durable write takes where the database will lie: a tmpfs would flatter it."""
    path = folder / "sync-probe"
    times = []
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        for _ in range(50):
            started = time.perf_counter()
            os.pwrite(descriptor, bytes(4096), 0)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - started) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return statistics.median(times)
