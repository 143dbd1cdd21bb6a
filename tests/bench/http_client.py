"""ChatVault's HTTP client beside httpx and aiohttp: one process each, on one core, asking the mock."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

from tests.bench.load import Shape, Target
from tests.bench.mock import mock_provider
from tests.bench.options import Options
from tests.bench.process import REPOSITORY
from tests.bench.report import Cell, Report, Table, talk

OURS = "ours"
CLIENTS = (OURS, "ours-under-httpx", "aiohttp", "httpx")
LABELS = {
    OURS: "ChatVault's HttpClient",
    "ours-under-httpx": "httpx on ChatVault's transport",
    "aiohttp": "aiohttp",
    "httpx": "httpx",
}
STREAM = Shape(chunks=100, delay_us=2000)
KINDS = (("JSON", Shape(), (1, 16, 64)), ("streams, a chunk every 2 ms", STREAM, (64,)))


def run(options: Options, report: Report) -> None:
    """Measure each client at each number of connections, in turn."""
    with mock_provider([STREAM.model], options=options) as mock:
        for title, shape, counts in KINDS:
            for count in counts:
                talk(f"http-client: {title}, {count}")
                found: dict[str, list[dict[str, float]]] = {name: [] for name in CLIENTS}
                for number in range(options.rounds):
                    turn = number % len(CLIENTS)
                    for name in [*CLIENTS[turn:], *CLIENTS[:turn]]:
                        found[name].append(ask(name, mock, shape, count=count, options=options))
                report.show(table(f"{title}, {count} at once", found, is_stream=shape is STREAM))


def ask(name: str, mock: Target, shape: Shape, *, count: int, options: Options) -> dict[str, float]:
    """Run one client in a process of its own and return its figures."""
    seconds = options.seconds
    command = [sys.executable, "-m", "tests.bench.http_client_child", name, str(mock.port), shape.model]
    command += [str(count), str(seconds)]
    if shape is STREAM:
        command.append("--stream")
    if options.server_cpu is not None:
        command = ["taskset", "-c", str(options.server_cpu), *command]
    environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{LABELS[name]}: {done.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def table(title: str, found: dict[str, list[dict[str, float]]], *, is_stream: bool) -> Table:
    """Return the medians, and ratios to aiohttp: the fastest client that is well known."""
    what, unit = ("chunks", "chunk") if is_stream else ("requests", "request")
    rows: list[Sequence[Cell]] = []
    for name, runs in found.items():
        rate = statistics.median(run[f"{what}_per_second"] for run in runs)
        pairs = zip(runs, found["aiohttp"], strict=True)
        ratio = statistics.median(
            mine[f"{what}_per_second"] / theirs[f"{what}_per_second"] for mine, theirs in pairs
        )
        cpu = statistics.median(run[f"cpu_us_per_{unit}"] for run in runs)
        p50, p99 = (statistics.median(run[key] for run in runs) for key in ("p50_ms", "p99_ms"))
        rows.append((LABELS[name], rate, ratio, cpu, p50, p99))
    columns = ("", f"{what}/s", "× aiohttp", f"CPU µs/{unit}", "p50 ms", "p99 ms")
    return Table(title, columns, rows)
