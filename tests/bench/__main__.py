"""The benchmarks' one command: `python -m tests.bench [all|gateway|memory|…]`, see `--help`."""

import argparse
import compileall
import importlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.machine import circumstances, say_circumstances
from tests.bench.options import Options
from tests.bench.process import REPOSITORY
from tests.bench.report import Report, say, talk

BENCHES = {
    "gateway": "requests and streams through ChatVault, nginx and others",
    "memory": "resident memory idle and at 500 open streams",
    "startup": "start to the first answer, --help, stalls of the loop",
    "service": "start to READY=1, `status`, idle memory with the tunnel up",
    "store": "the database: queries, size, rates, verification, backup",
    "tunnel": "the tunnel beside `ssh -R` and asyncssh's own forward",
    "http-client": "ChatVault's HTTP client beside httpx and aiohttp",
}


def main() -> int:
    """Run the benches asked for; returns 1 when a goal was missed and `--strict` was given."""
    arguments = parse()
    chosen = list(BENCHES) if arguments.bench == "all" else [arguments.bench]
    report = Report()
    with tempfile.TemporaryDirectory(prefix="chatvault-bench-", dir=arguments.folder) as folder:
        options = options_from(arguments, Path(folder))
        # As an installation does: without it every start would compile every module.
        compileall.compile_dir(REPOSITORY / "chatvault", quiet=1)
        found = circumstances(options)
        say_circumstances(found)
        started = time.monotonic()
        try:
            for name in chosen:
                talk(f"{name}: {BENCHES[name]}")
                importlib.import_module(f"tests.bench.{name.replace('-', '_')}").run(options, report)
        finally:
            report.show_goals()
            say(f"\nIn {time.monotonic() - started:.0f} s.")
            if arguments.json:
                Path(arguments.json).write_text(
                    json.dumps(report.as_json(found), indent=1, ensure_ascii=False)
                )
    missed = any(goal.verdict != "met" for goal in report.goals)
    return 1 if missed and arguments.strict else 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("bench", nargs="?", default="all", choices=["all", *BENCHES])
    parser.add_argument(
        "--quick", action="store_true", help="a quarter of the time: for a look, not for a figure"
    )
    parser.add_argument("--json", metavar="PATH", help="write all figures there too")
    parser.add_argument("--rounds", type=int, help="how often each figure is taken (3; quick: 1)")
    parser.add_argument("--seconds", type=float, help="how long one measurement lasts (0.6; quick: 0.4)")
    parser.add_argument(
        "--server-cpu", type=int, default=0, help="the core of what is measured; -1: not pinned"
    )
    parser.add_argument(
        "--load-cpu", type=int, default=1, help="the core of the mock and the load; -1: not pinned"
    )
    parser.add_argument("--folder", help="where databases are made: on a real disk (default: the system's)")
    parser.add_argument("--litellm-python", type=Path, help="python of an environment with litellm[proxy]")
    parser.add_argument("--rows", type=int, help="rows of the smaller database (1,000,000; quick: 100,000)")
    parser.add_argument("--most-rows", type=int, help="rows of the larger one (10,000,000; quick: 500,000)")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    return parser.parse_args()


def options_from(arguments: argparse.Namespace, folder: Path) -> Options:
    """Return the options; cores that the machine lacks are left unpinned."""
    cores = os.sched_getaffinity(0)
    is_pinned = {arguments.server_cpu, arguments.load_cpu} <= cores
    quick: bool = arguments.quick
    return Options(
        folder=folder,
        server_cpu=arguments.server_cpu if is_pinned else None,
        load_cpu=arguments.load_cpu if is_pinned else None,
        rounds=arguments.rounds or (1 if quick else 3),
        seconds=arguments.seconds or (0.4 if quick else 0.6),
        is_quick=quick,
        litellm_python=arguments.litellm_python,
        many_rows=arguments.rows or (100_000 if quick else 1_000_000),
        most_rows=arguments.most_rows or (500_000 if quick else 10_000_000),
    )


if __name__ == "__main__":
    sys.exit(main())
