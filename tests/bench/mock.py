"""The mock provider as a process."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.compiled import program
from tests.bench.load import Target
from tests.bench.options import Options
from tests.bench.process import free_port, running


@contextlib.contextmanager
def mock_provider(models: Sequence[str], *, options: Options) -> Iterator[Target]:
    """Run the mock on the load's core; `models` are those it lists. The target is the mock itself."""
    port = free_port()
    command: list[str | Path] = [program("mock"), "-p", str(port), "-m", ",".join(models)]
    with running(command, cpu=options.load_cpu, log=options.folder / f"mock-{port}.log") as process:
        process.wait_for_port(port)
        yield Target("direct to the mock", port)


def open_streams(mock: Target) -> int:
    """Ask the mock how many streams it is writing."""
    with urllib.request.urlopen(f"http://127.0.0.1:{mock.port}/__stats", timeout=5) as answer:
        count: int = json.load(answer)["open_streams"]
        return count
