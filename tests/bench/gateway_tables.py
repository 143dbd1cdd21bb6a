"""The gateway's tables, and the goals that its figures are held to."""

from collections.abc import Sequence

from tests.bench.load import Measured
from tests.bench.report import Cell, Goal, Report, Table
from tests.bench.scenarios import FULL_SPEED, HOME, NGINX, PAID, STREAMS


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
