"""Start to the first answer, how fast `--help` is, and how long the loop ever stalls once it serves."""

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench.load import Scenario, Shape, Target, run_load
from tests.bench.mock import mock_provider
from tests.bench.options import Options
from tests.bench.probe import Answers, probing
from tests.bench.process import REPOSITORY, Process, free_port
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.vault import command, environment, vault, wait_for_health

SPACED = Shape(chunks=100, delay_us=2000)
MIXED = Scenario("16 streams", 16, SPACED, is_stream=True)
WHOLE = Scenario("16 connections", 16)
MODELS = (SPACED.model, WHOLE.shape.model)
LITELLM_SECONDS = 6.0


def run(options: Options, report: Report) -> None:
    """Measure starts, commands and stalls."""
    with mock_provider(MODELS, options=options) as mock:
        starts(mock, options=options, report=report)
        commands(options, report)
        stalls(mock, options=options, report=report)


def starts(mock: Target, *, options: Options, report: Report) -> None:
    """Show the time from a process's start to its first 200."""
    talk("startup: first answers")
    count = 2 if options.is_quick else 3
    bare: list[float] = []
    lean: list[float] = []
    heavy: list[float] = []
    for number in range(count):
        bare.append(bare_start(options))
        for times, providers in ((lean, ("paid", "home", "ollama")), (heavy, ("paid", "anthropic"))):
            name = f"start-{number}-{len(providers)}"
            with vault(name, mock=mock, models=MODELS, providers=providers, options=options) as started:
                times.append(started.start_seconds * 1e3)
    rows: list[Sequence[Cell]] = [
        (
            name,
            statistics.median(times),
            min(times),
            max(times),
            statistics.median(times) / statistics.median(bare),
        )
        for name, times in (
            ("uvicorn alone, one route", bare),
            ("ChatVault, new home, no litellm provider", lean),
            ("ChatVault, new home, with a litellm provider", heavy),
        )
    ]
    columns = ("", "first 200 after ms", "least", "most", "× bare")
    report.show(Table(f"Start to the first 200 ({count} starts)", columns, rows))
    report.hold(
        Goal("first 200 after the start", statistics.median(lean), 600, "ms"),
        Goal("first 200 after the start, litellm provider", statistics.median(heavy), 600, "ms"),
    )


def bare_start(options: Options) -> float:
    """Return the milliseconds from the start of a bare uvicorn to its first 200."""
    port = free_port()
    started = time.monotonic()
    log = options.folder / "bare.log"
    process = Process([sys.executable, "-m", "tests.bench.bare", str(port)], cpu=options.server_cpu, log=log)
    try:
        return wait_for_health(process, port, started=started) * 1e3
    finally:
        process.stop()


def commands(options: Options, report: Report) -> None:
    """Show how long commands take, beside an interpreter that does nothing."""
    talk("startup: commands")
    home = options.folder / "start-0-3"
    shown = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "chatvault --help": [sys.executable, "-m", "chatvault", "--help"],
        "chatvault --version": [sys.executable, "-m", "chatvault", "--version"],
        "chatvault usage --json (empty)": command(home, "usage", "--json"),
        "chatvault tokens list": command(home, "tokens", "list"),
    }
    times: dict[str, list[float]] = {name: [] for name in shown}
    failed: dict[str, str] = {}
    for _ in range(3 if options.is_quick else 7):
        for name, words in shown.items():
            started = time.perf_counter()
            done = subprocess.run(
                words, cwd=REPOSITORY, env=environment(home), capture_output=True, text=True, check=False
            )
            times[name].append((time.perf_counter() - started) * 1e3)
            if done.returncode:
                failed[name] = done.stderr.strip()[-300:]
    rows: list[Sequence[Cell]] = [
        (name, statistics.median(values), min(values), max(values)) for name, values in times.items()
    ]
    note = "\n".join(f"! {name}: {problem}" for name, problem in failed.items())
    report.show(Table("Commands", ("", "ms", "least", "most"), rows, note))
    report.hold(Goal("chatvault --help", statistics.median(times["chatvault --help"]), 120, "ms"))


def stalls(mock: Target, *, options: Options, report: Report) -> None:
    """Show how late /health ever answered: idle, under load, and while litellm is imported."""
    talk("startup: stalls of the loop")
    seconds = 1.0 if options.is_quick else 2.0
    found: list[tuple[str, Answers]] = []
    with ExitStack() as stack:
        port = free_port()
        log = options.folder / "bare.log"
        bare = Process([sys.executable, "-m", "tests.bench.bare", str(port)], cpu=options.server_cpu, log=log)
        stack.callback(bare.stop)
        wait_for_health(bare, port, started=time.monotonic())
        found.append(("uvicorn alone, idle", idle(port, seconds, options)))
    with vault("stalls", mock=mock, models=MODELS, providers=("paid", "home"), options=options) as lean:
        paid = lean.target("paid", name="ChatVault")
        found.append(("ChatVault, idle", idle(lean.port, seconds, options)))
        with probing(lean.port, cpu=options.load_cpu) as answers:
            lean.list_models()
            time.sleep(0.2)
        found.append(("ChatVault, first /v1/models", answers))
        for scenario in (MIXED, WHOLE):
            with probing(lean.port, cpu=options.load_cpu) as answers:
                run_load(paid, scenario, options=options, seconds=seconds)
            found.append((f"ChatVault, {scenario.title}", answers))
    # From the moment the daemon serves: litellm's import may start by itself, or with the first call.
    with vault(
        "stalls-heavy", mock=mock, models=MODELS, providers=("paid", "anthropic"), options=options
    ) as heavy:
        with probing(heavy.port, cpu=options.load_cpu) as answers:
            run_load(
                heavy.target("anthropic", name="ChatVault"), Scenario("", 1), options=options, seconds=0.1
            )
            time.sleep(LITELLM_SECONDS / (2 if options.is_quick else 1))
        found.append(("ChatVault, while litellm is imported", answers))
    rows: list[Sequence[Cell]] = [
        (name, answers.longest_ms, answers.p99_ms, answers.p50_ms, len(answers.times_ms), answers.failures)
        for name, answers in found
    ]
    columns = ("", "longest ms", "p99 ms", "p50 ms", "answers", "failures")
    note = (
        "How long /health took to answer, asked every 5 ms. Under load an answer also waits for its turn;\n"
        "what else runs on the machine shows in all rows, the bare server's too."
    )
    report.show(Table("Stalls of the loop", columns, rows, note))
    longest = {name: answers.longest_ms for name, answers in found}
    report.hold(
        Goal("longest stall, idle", longest["ChatVault, idle"], 50, "ms"),
        Goal("longest stall, first /v1/models", longest["ChatVault, first /v1/models"], 50, "ms"),
        Goal("longest stall, 16 streams", longest["ChatVault, 16 streams"], 50, "ms"),
        Goal("longest stall, 16 connections", longest["ChatVault, 16 connections"], 50, "ms"),
        Goal("longest stall, litellm's import", longest["ChatVault, while litellm is imported"], 150, "ms"),
    )


def idle(port: int, seconds: float, options: Options) -> Answers:
    """Probe a server that nobody else asks anything."""
    with probing(port, cpu=options.load_cpu) as answers:
        time.sleep(seconds)
    return answers
