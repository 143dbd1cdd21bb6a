"""Requests and streams through ChatVault, beside nginx, LiteLLM Proxy and no proxy at all."""

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

from tests.bench.gateway_tables import first_tokens, streams, whole
from tests.bench.litellm_proxy import litellm_proxy
from tests.bench.load import Run, Scenario, Target, measure, run_load
from tests.bench.mock import mock_provider
from tests.bench.nginx import nginx
from tests.bench.options import Options
from tests.bench.report import Goal, Report, talk
from tests.bench.scenarios import BACKED, FIRST_TOKENS, HOME, MODELS, OLLAMA, PAID, STREAMS, WHOLE
from tests.bench.vault import vault


def run(options: Options, report: Report) -> None:
    """Measure requests, streams and first tokens, then the providers behind litellm."""
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
