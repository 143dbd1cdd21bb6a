"""The database with many rows: what `usage` takes, bytes a row, the writer's rate, verification, backup."""

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tests.bench.fill import fill, multiply
from tests.bench.options import Options
from tests.bench.process import REPOSITORY
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.vault import command, environment, write_settings

USAGES: Sequence[tuple[str, ...]] = (
    ("usage", "--since", "7d", "--json"),
    ("usage", "--since", "7d", "--by", "day", "--json"),
    ("usage", "--since", "7d", "--by", "token", "--json"),
    ("usage", "--since", "30d", "--json"),
    ("usage", "--since", "today", "--json"),
)
WRITES = ((1, True), (16, True), (64, True), (64, False))


def run(options: Options, report: Report) -> None:
    """Make the databases and measure them."""
    many, most = options.folder / "many", options.folder / "most"
    for home in (many, most):
        write_settings(
            home, {"providers": {"echo": {"kind": "echo"}}, "usage": {"timezone": "Europe/Berlin"}}
        )
    talk(f"store: a database of {options.many_rows:,} rows")
    small, large = many / "chatvault.db", most / "chatvault.db"
    filled = fill(small, options.many_rows)
    sizes(small, options=options, report=report)
    verify(many, filled=filled, options=options, report=report)
    talk(f"store: a database of {options.most_rows:,} rows")
    multiply(small, large, options.most_rows // options.many_rows)
    usages((many, options.many_rows), (most, options.most_rows), options=options, report=report)
    large.unlink()
    talk("store: backup and the writer")
    backup(small, options=options, report=report)
    writer(small, options=options, report=report)
    small.unlink()


def sizes(path: Path, *, options: Options, report: Report) -> None:
    """Show the bytes a row takes, table by table."""
    with closing(sqlite3.connect(path)) as connection:
        total = path.stat().st_size
        try:
            found = connection.execute(
                "SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6"
            ).fetchall()
        except sqlite3.OperationalError:
            # SQLite may be built without dbstat.
            found = []
    rows: list[Sequence[Cell]] = [
        (name, size / options.many_rows, payload / options.many_rows, size / 1e6)
        for name, size, payload in found
    ]
    rows.append(("whole file", total / options.many_rows, None, total / 1e6))
    columns = ("", "bytes a request", "of them data", "MB")
    report.show(Table(f"The database's size, {options.many_rows:,} requests", columns, rows))
    report.hold(Goal("the database, a million requests", total / options.many_rows, 130, "MB"))


def timed(home: Path, arguments: Sequence[str]) -> tuple[float, str]:
    """Run a command and return its milliseconds and what went wrong."""
    started = time.perf_counter()
    done = subprocess.run(
        command(home, *arguments),
        cwd=REPOSITORY,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    took = (time.perf_counter() - started) * 1e3
    return took, done.stderr.strip()[-300:] if done.returncode else ""


def usages(*homes: tuple[Path, int], options: Options, report: Report) -> None:
    """Show how long `usage` takes as a command."""
    times: dict[tuple[Path, tuple[str, ...]], list[float]] = {}
    failures: set[str] = set()
    for _ in range(2 if options.is_quick else 5):
        for arguments in USAGES:
            for home, _count in homes:
                took, failure = timed(home, arguments)
                times.setdefault((home, tuple(arguments)), []).append(took)
                if failure:
                    failures.add(f"! {' '.join(arguments)}: {failure}")
    rows: list[Sequence[Cell]] = [
        (" ".join(arguments), *(statistics.median(times[home, tuple(arguments)]) for home, _ in homes))
        for arguments in USAGES
    ]
    columns = ("", *(f"ms, {count:,} rows" for _, count in homes))
    report.show(
        Table(
            "Usage as a command (the first reads come from a warm cache)", columns, rows, "\n".join(failures)
        )
    )
    for (home, count), bound in zip(homes, (150, 200), strict=True):
        report.hold(
            Goal(
                f"usage --since 7d, {count:,} rows",
                statistics.median(times[home, tuple(USAGES[0])]),
                bound,
                "ms",
            )
        )


def verify(home: Path, *, filled: float, options: Options, report: Report) -> None:
    """Show how fast rows are written in bulk, and the chain is checked."""
    rows: list[Sequence[Cell]] = [
        ("filling it, in transactions of 5,000", filled, options.many_rows / filled)
    ]
    failures = []
    for arguments in (("audit", "verify", "--json"), ("audit", "verify", "--full", "--json")):
        took, failure = timed(home, arguments)
        rows.append((" ".join(arguments), took / 1e3, options.many_rows / took * 1e3))
        if failure:
            failures.append(f"! {' '.join(arguments)}: {failure}")
    report.show(Table("The whole chain", ("", "s", "requests/s"), rows, "\n".join(failures)))


def backup(path: Path, *, options: Options, report: Report) -> None:
    """Show how long a consistent copy takes."""
    copy = path.with_name("copy.db")
    rows: list[Sequence[Cell]] = []
    with closing(sqlite3.connect(path)) as source:
        started = time.perf_counter()
        with closing(sqlite3.connect(copy)) as target:
            source.backup(target, pages=-1)
        rows.append(("SQLite's backup, in one step", time.perf_counter() - started))
        copy.unlink()
        started = time.perf_counter()
        source.execute("VACUUM INTO ?", (str(copy),))
        rows.append(("VACUUM INTO", time.perf_counter() - started))
    copy.unlink()
    report.show(Table(f"A copy of {options.many_rows:,} requests", ("", "s"), rows))


def writer(path: Path, *, options: Options, report: Report) -> None:
    """Show how many requests a second the one writer holds and settles."""
    rows: list[Sequence[Cell]] = []
    for count, is_durable in WRITES:
        words = [
            sys.executable,
            "-m",
            "tests.bench.store_child",
            str(path),
            str(count),
            str(options.seconds * 2),
        ]
        if is_durable:
            words.append("--durable")
        if options.server_cpu is not None:
            words = ["taskset", "-c", str(options.server_cpu), *words]
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(words, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the writer: {done.stderr[-2000:]}")
        found = json.loads(done.stdout)
        what = "survive a power cut" if is_durable else "at home"
        rows.append(
            (
                f"{count} at once, {what}",
                found["rate"],
                found["cpu_us"],
                found["hold_p50_ms"],
                found["hold_p99_ms"],
            )
        )
    columns = ("", "requests/s", "CPU µs/request", "hold p50 ms", "p99 ms")
    report.show(Table("The writer alone: hold, then settlement with chain and sums", columns, rows))
