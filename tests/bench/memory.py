"""Resident memory: idle, with litellm, and with 500 streams open."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.bench.compiled import program
from tests.bench.load import Scenario, Shape, Target, run_load
from tests.bench.mock import mock_provider, open_streams
from tests.bench.nginx import nginx
from tests.bench.options import Options
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.vault import vault

STREAMS = 500
SLOW = Shape(chunks=10_000, delay_us=100_000)
SHORT = Scenario("", 4, Shape(chunks=10), is_stream=True)
MODELS = (SLOW.model, SHORT.shape.model)


def run(options: Options, report: Report) -> None:
    """Measure the memory of ChatVault without and with litellm, and of nginx beside it."""
    rows: list[Sequence[Cell]] = []
    with ExitStack() as stack:
        mock = stack.enter_context(mock_provider(MODELS, options=options))
        front = stack.enter_context(nginx(mock, options=options, is_root=os.geteuid() == 0))
        if front:
            rows.append(with_streams(front, mock=mock, options=options))
        talk("memory: ChatVault without litellm")
        with vault("lean", mock=mock, models=MODELS, providers=("paid", "home"), options=options) as lean:
            time.sleep(1)
            idle = lean.process.memory_mb()
            lean.list_models()
            paid = with_streams(lean.target("paid", name="ChatVault"), mock=mock, options=options)
        talk("memory: ChatVault with a litellm provider")
        with vault(
            "heavy", mock=mock, models=MODELS, providers=("paid", "anthropic"), options=options
        ) as heavy:
            target = heavy.target("anthropic", name="ChatVault, anthropic through litellm")
            run_load(target, SHORT, options=options, seconds=0.3)
            heavy.list_models()
            time.sleep(1)
            loaded = heavy.process.memory_mb()
            through = with_streams(target, mock=mock, options=options)
    rows += [paid, through]
    columns = ("", "idle MB", f"MB at {STREAMS} open streams", "KB a stream", "streams open")
    note = "Resident memory of all the target's processes, after a few requests to all routes."
    report.show(Table("Memory", columns, rows, note))
    report.hold(
        Goal("memory just after the start, no litellm provider", idle, 75, "MB"),
        Goal("memory after first calls, no litellm provider", float(paid[1] or 0), 75, "MB"),
        Goal("memory after first calls, with a litellm provider", loaded, 280, "MB"),
        Goal(f"memory a stream at {STREAMS} open streams", float(paid[3] or 0), 25, "KB"),
    )


def with_streams(target: Target, *, mock: Target, options: Options) -> tuple[str, float, float, float, int]:
    """Open the streams, and return the target's memory before and during."""
    assert target.process is not None
    run_load(target, SHORT, options=options, seconds=0.3)
    time.sleep(0.5)
    before = target.process.memory_mb()
    seconds = 3 if options.is_quick else 5
    command = [str(program("loadgen")), "-p", str(target.port), "-u", target.path, "-T", target.token, "-s"]
    command += [
        "-m",
        target.prefix + SLOW.model,
        "-c",
        str(STREAMS),
        "-w",
        "0",
        "-t",
        str(seconds),
        "-g",
        "0",
    ]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(seconds - 0.7)
        during, count = target.process.memory_mb(), open_streams(mock)
    finally:
        load.wait(seconds + 30)
    if not count:
        raise RuntimeError(f"{target.name}: no stream was open; see {target.process.log}")
    return target.name, before, during, (during - before) * 1e3 / count, count
