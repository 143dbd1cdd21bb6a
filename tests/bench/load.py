"""One measurement: load on one target, its figures, and what the target's processes spent on it."""

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from tests.bench.compiled import program
from tests.bench.options import Options
from tests.bench.process import Process


@dataclass(frozen=True, slots=True)
class Shape:
    """What the mock answers: content deltas, microseconds between them, thinking before, all in one write."""

    chunks: int = 100
    delay_us: int = 0
    think_us: int = 0
    is_burst: bool = False

    @property
    def model(self) -> str:
        """Return the model's name that asks the mock for this shape."""
        burst = "-b1" if self.is_burst else ""
        return f"mock-c{self.chunks}-d{self.delay_us}-t{self.think_us}{burst}"


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint under load; `prefix` goes before the model's name. Without a process no CPU is measured."""

    name: str
    port: int
    process: Process | None = None
    path: str = "/v1/chat/completions"
    token: str = "none"
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of load: how many connections, streamed or whole, and of which shape."""

    title: str
    connections: int
    shape: Shape = field(default_factory=Shape)
    is_stream: bool = False
    prompt_bytes: int = 200


@dataclass(frozen=True, slots=True)
class Run:
    """What one measurement found. Milliseconds, but for `cpu_seconds`."""

    seconds: float
    requests: int
    stamps: int
    all_requests: int
    all_stamps: int
    failures: int
    refused: int
    broken: int
    cut: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    first_p50_ms: float
    first_p99_ms: float
    delay_p50_ms: float
    delay_p99_ms: float
    problem: str
    cpu_seconds: float = 0.0
    memory_mb: float = 0.0

    @property
    def errors(self) -> int:
        """Return how many requests did not end as they should."""
        return self.failures + self.refused + self.broken + self.cut

    @property
    def requests_per_second(self) -> float:
        """Return whole answers per second."""
        return self.requests / self.seconds

    @property
    def chunks_per_second(self) -> float:
        """Return content deltas per second."""
        return self.stamps / self.seconds

    @property
    def cpu_us_per_request(self) -> float:
        """Return the CPU time of the target's processes per request."""
        return self.cpu_seconds * 1e6 / max(1, self.all_requests)

    @property
    def cpu_us_per_chunk(self) -> float:
        """Return the CPU time of the target's processes per content delta."""
        return self.cpu_seconds * 1e6 / max(1, self.all_stamps)


def run_load(target: Target, scenario: Scenario, *, options: Options, seconds: float | None = None) -> Run:
    """Put load on a target for `seconds`, and as much again in part before to warm up."""
    measured = options.seconds if seconds is None else seconds
    command: list[str] = [
        str(program("loadgen")),
        "-p",
        str(target.port),
        "-u",
        target.path,
        "-T",
        target.token,
    ]
    command += ["-m", target.prefix + scenario.shape.model, "-c", str(scenario.connections)]
    command += ["-t", str(measured), "-w", str(min(0.3, measured * 0.3)), "-b", str(scenario.prompt_bytes)]
    command += ["-s", "-n", str(scenario.shape.chunks)] if scenario.is_stream else ["-n", "1"]
    # A slow target may need long to end what it began, and is measured all the same.
    command += ["-g", "30"]
    if options.load_cpu is not None:
        command = ["taskset", "-c", str(options.load_cpu), *command]
    before = target.process.cpu_seconds() if target.process else 0.0
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=measured + 60)
    after = target.process.cpu_seconds() if target.process else 0.0
    found = json.loads(done.stdout)
    known = {name: found[name] for name in (item.name for item in fields(Run)) if name in found}
    return Run(
        **known,
        cpu_seconds=after - before,
        memory_mb=target.process.memory_mb() if target.process else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """All rounds of one scenario, by target: medians over rounds, of figures and of each round's ratios."""

    scenario: Scenario
    runs: dict[str, list[Run]]

    def median(self, target: str, figure: str) -> float:
        """Return the median of a figure (an attribute of Run) over the rounds."""
        return statistics.median(float(getattr(run, figure)) for run in self.runs[target])

    def ratio(self, target: str, figure: str, to: str) -> float | None:
        """Return the median of the rounds' ratios of one target's figure to another's; None if that is 0."""
        pairs = zip(self.runs[target], self.runs[to], strict=True)
        ratios = [
            getattr(mine, figure) / getattr(theirs, figure)
            for mine, theirs in pairs
            if getattr(theirs, figure)
        ]
        return statistics.median(ratios) if ratios else None

    def difference(self, target: str, figure: str, to: str) -> float:
        """Return the median of the rounds' differences of one target's figure to another's."""
        pairs = zip(self.runs[target], self.runs[to], strict=True)
        return statistics.median(
            float(getattr(mine, figure) - getattr(theirs, figure)) for mine, theirs in pairs
        )

    def errors(self, target: str) -> int:
        """Return how many requests went wrong in all rounds."""
        return sum(run.errors for run in self.runs[target])

    def problem(self, target: str) -> str:
        """Return the first thing that went wrong, in words, or an empty string."""
        return next((run.problem for run in self.runs[target] if run.problem), "")


def measure(targets: Sequence[Target], scenarios: Sequence[Scenario], *, options: Options) -> list[Measured]:
    """Measure every scenario at every target, round by round, the targets in turn within each."""
    results = [Measured(scenario, {target.name: [] for target in targets}) for scenario in scenarios]
    for number in range(options.rounds):
        turn = number % len(targets)
        for result in results:
            for target in [*targets[turn:], *targets[:turn]]:
                result.runs[target.name].append(run_load(target, result.scenario, options=options))
    return results
