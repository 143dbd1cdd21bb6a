"""Requests and streams through ChatVault, beside nginx, LiteLLM Proxy and no proxy at all."""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from tests.bench.litellm_proxy import litellm_proxy
from tests.bench.load import Measured, Run, Scenario, Shape, Target, measure, run_load
from tests.bench.mock import mock_provider
from tests.bench.nginx import nginx
from tests.bench.options import Options
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.vault import vault

SPACED = Shape(chunks=100, delay_us=2000)
FULL_SPEED = Shape(chunks=100)
BURST = Shape(chunks=100, is_burst=True)
THINKING = Shape(chunks=5, delay_us=4000, think_us=30_000)

WHOLE = [Scenario(f"JSON, {count} connections", count) for count in (1, 16, 64)]
STREAMS = [
    Scenario("64 streams, a chunk every 2 ms", 64, SPACED, is_stream=True),
    Scenario("16 streams, a chunk every 2 ms", 16, SPACED, is_stream=True),
    Scenario("1 stream at full speed", 1, FULL_SPEED, is_stream=True),
    Scenario("16 streams at full speed", 16, FULL_SPEED, is_stream=True),
    Scenario("16 streams, each in one burst", 16, BURST, is_stream=True),
]
FIRST_TOKENS = [
    Scenario(f"{count} streams at once", count, THINKING, is_stream=True) for count in (1, 16, 100)
]
BACKED = [
    Scenario("JSON, 16 connections", 16),
    Scenario("16 streams, a chunk every 2 ms", 16, SPACED, is_stream=True),
]
MODELS = sorted({scenario.shape.model for scenario in (*WHOLE, *STREAMS, *FIRST_TOKENS, *BACKED)})

DIRECT, NGINX = "direct to the mock", "nginx"
PAID = "ChatVault, paid provider (durable)"
HOME = "ChatVault, provider at home"
OLLAMA = "ChatVault, Ollama"


def run(options: Options, report: Report) -> None:
    """Measure all of it; without ChatVault's figures no goal is held."""
    with ExitStack() as stack:
        mock = stack.enter_context(mock_provider(MODELS, options=options))
        front = stack.enter_context(nginx(mock, options=options, is_root=os.geteuid() == 0))
        other = stack.enter_context(litellm_proxy(mock, models=MODELS, options=options))
        served = stack.enter_context(
            vault("gateway", mock=mock, models=MODELS, providers=("paid", "home", "ollama"), options=options)
        )
        paid, home = served.target("paid", name=PAID), served.target("home", name=HOME)
        ollama = served.target("ollama", name=OLLAMA)
        targets = [mock, *(item for item in (front,) if item), paid, home, ollama]
        others = [other] if other else []
        warm([*targets, *others], WHOLE[1:2] + STREAMS[1:2], options=options)
        talk("gateway: JSON")
        whole(measure([*targets, *others], WHOLE, options=options), report)
        talk("gateway: streams")
        streams(measure([*targets, *others], STREAMS[:2], options=options), report)
        streams(
            measure([item for item in targets if item is not ollama], STREAMS[2:], options=options), report
        )
        talk("gateway: first tokens")
        first_tokens(
            measure([item for item in targets if item is not ollama], FIRST_TOKENS, options=options), report
        )
    backed(options, report)


def backed(options: Options, report: Report) -> None:
    """Measure the providers that go through litellm."""
    talk("gateway: providers through litellm")
    with ExitStack() as stack:
        mock = stack.enter_context(mock_provider(MODELS, options=options))
        served = stack.enter_context(
            vault("backed", mock=mock, models=MODELS, providers=("anthropic", "deepseek"), options=options)
        )
        names = {name: f"ChatVault, {name} through litellm" for name in ("anthropic", "deepseek")}
        targets = [served.target(provider, name=name) for provider, name in names.items()]
        direct = Target("direct to the mock's /messages", mock.port, mock.process, path="/v1/messages")
        # The first call waits for litellm's import.
        warm(targets, [Scenario("", 1)], options=options)
        results = measure([direct, *targets], BACKED, options=options)
    whole(results[:1], report)
    streams(results[1:], report)
    for provider, name in names.items():
        report.hold(
            Goal(f"{provider}: CPU per call", results[0].median(name, "cpu_us_per_request"), 2000, "µs"),
            Goal(
                f"{provider}: CPU per chunk, 16 streams",
                results[1].median(name, "cpu_us_per_chunk"),
                60,
                "µs",
            ),
        )


def warm(targets: Iterable[Target], scenarios: Sequence[Scenario], *, options: Options) -> None:
    """Put a short load on each target, and say what went wrong before time is spent on it."""
    for target in targets:
        for scenario in scenarios:
            found: Run = run_load(target, scenario, options=options, seconds=0.3)
            if found.errors or not found.all_stamps:
                raise RuntimeError(
                    f"{target.name}, {scenario.title or 'first call'}: {found.errors} errors: {found.problem}"
                )


def whole(results: Sequence[Measured], report: Report) -> None:
    """Show whole answers."""
    columns = (
        "",
        "requests/s",
        "× nginx",
        "p50 ms",
        "p99 ms",
        "added p50 ms",
        "CPU µs/request",
        "MB",
        "errors",
    )
    for result in results:
        rows: list[list[Cell]] = []
        base = next(iter(result.runs))
        for name in result.runs:
            rows.append(
                [
                    name,
                    result.median(name, "requests_per_second"),
                    result.ratio(name, "requests_per_second", NGINX) if NGINX in result.runs else None,
                    result.median(name, "p50_ms"),
                    result.median(name, "p99_ms"),
                    result.difference(name, "p50_ms", base) if name != base else None,
                    result.median(name, "cpu_us_per_request"),
                    result.median(name, "memory_mb"),
                    result.errors(name),
                ]
            )
        report.show(Table(result.scenario.title, columns, rows, problems(result)))
        if PAID not in result.runs:
            continue
        count = result.scenario.connections
        if count == 1:
            report.hold(
                Goal("JSON, added p50, durable", result.difference(PAID, "p50_ms", base), 0.7, "ms"),
                Goal("JSON, added p50, at home", result.difference(HOME, "p50_ms", base), 0.4, "ms"),
            )
            continue
        report.hold(
            Goal(
                f"JSON at {count} connections, durable",
                result.ratio(PAID, "requests_per_second", NGINX) if NGINX in result.runs else None,
                {16: 0.10, 64: 0.13}[count],
                "× nginx",
                is_floor=True,
            ),
            Goal(
                f"JSON at {count} connections, durable",
                result.median(PAID, "requests_per_second"),
                6000,
                "requests/s",
                is_floor=True,
            ),
        )


def streams(results: Sequence[Measured], report: Report) -> None:
    """Show streamed answers."""
    columns = (
        "",
        "chunks/s",
        "× nginx",
        "CPU µs/chunk",
        "× nginx",
        "chunk delay p50 ms",
        "p99 ms",
        "first token p50 ms",
        "p99 ms",
        "errors",
    )
    for result in results:
        rows: list[list[Cell]] = []
        has_nginx = NGINX in result.runs
        for name in result.runs:
            rows.append(
                [
                    name,
                    result.median(name, "chunks_per_second"),
                    result.ratio(name, "chunks_per_second", NGINX) if has_nginx else None,
                    result.median(name, "cpu_us_per_chunk"),
                    result.ratio(name, "cpu_us_per_chunk", NGINX) if has_nginx else None,
                    result.median(name, "delay_p50_ms"),
                    result.median(name, "delay_p99_ms"),
                    result.median(name, "first_p50_ms"),
                    result.median(name, "first_p99_ms"),
                    result.errors(name),
                ]
            )
        report.show(Table(result.scenario.title, columns, rows, problems(result)))
        if PAID not in result.runs:
            continue
        cpu = result.ratio(PAID, "cpu_us_per_chunk", NGINX) if has_nginx else None
        rate = result.ratio(PAID, "chunks_per_second", NGINX) if has_nginx else None
        if result.scenario is STREAMS[0]:
            report.hold(
                Goal("64 spaced streams, CPU per chunk", result.median(PAID, "cpu_us_per_chunk"), 25, "µs"),
                Goal("64 spaced streams, CPU per chunk", cpu, 2.2, "× nginx"),
            )
        if result.scenario.shape == FULL_SPEED and result.scenario.connections == 16:
            report.hold(Goal("16 streams at full speed, chunks/s", rate, 0.9, "× nginx", is_floor=True))


def first_tokens(results: Sequence[Measured], report: Report) -> None:
    """Show how much later the first token comes than without a proxy."""
    columns = ("", *(f"{result.scenario.connections} at once: added p50 ms" for result in results), "errors")
    bases = [next(iter(result.runs)) for result in results]
    rows: list[list[Cell]] = []
    for name in results[0].runs:
        if name == bases[0]:
            continue
        added = [
            result.difference(name, "first_p50_ms", base) for result, base in zip(results, bases, strict=True)
        ]
        rows.append([name, *added, sum(result.errors(name) for result in results)])
    report.show(Table("The first token's delay, the model thinking 30 ms", columns, rows))
    for result, base in zip(results, bases, strict=True):
        count = result.scenario.connections
        bound = {1: 2.0, 16: 4.0, 100: 12.0}[count]
        report.hold(
            Goal(
                f"first token's delay, {count} at once",
                result.difference(PAID, "first_p50_ms", base),
                bound,
                "ms",
            )
        )


def problems(result: Measured) -> str:
    """Return what went wrong, target by target."""
    found = ((name, result.problem(name)) for name in result.runs)
    return "\n".join(f"! {name}: {problem}" for name, problem in found if problem)
