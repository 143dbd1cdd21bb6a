"""The gateway's own OpenAPI page is true: schemathesis asks what it allows, and gets what it promises."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.daemon import Daemon
from tests.support.openai_shape import fitting
from tests.support.openai_shape import settings as config
from tests.support.scripted import Upstream

_CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with (
        Upstream(fitting) as upstream,
        Daemon(tmp_path_factory.mktemp("api") / "home", config(upstream.url)).start() as started,
    ):
        started.add_token()
        yield started


def _login(daemon: Daemon) -> dict[str, str]:
    return {"authorization": f"Bearer {daemon.secrets[-1]}"}


@pytest.mark.full
@pytest.mark.seconds(900)
def test_what_the_page_promises_holds(daemon: Daemon, is_full: bool) -> None:
    page = httpx.get(f"{daemon.url}/openapi.json", headers=_login(daemon)).json()
    schema = schemathesis.openapi.from_dict(page)
    schema.config.update(base_url=daemon.url)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {operation.label for operation in operations} >= {
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /health",
    }
    for operation in operations:
        _try(operation, daemon, examples=2000 if is_full else 60)


def _try(operation: Any, daemon: Daemon, *, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy())
    def run(case: Any) -> None:
        response = case.call(headers=_login(daemon), timeout=10)
        case.validate_response(response, checks=_CHECKS)
        assert response.status_code < 500

    run()


@pytest.mark.seconds(900)
def test_what_the_page_forbids_is_refused_and_does_no_harm(daemon: Daemon) -> None:
    page = httpx.get(f"{daemon.url}/openapi.json", headers=_login(daemon)).json()
    schema = schemathesis.openapi.from_dict(page)
    schema.config.update(base_url=daemon.url)
    operation = schema["/v1/chat/completions"]["POST"]

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE))
    def run(case: Any) -> None:
        response = case.call(headers=_login(daemon), timeout=10)
        case.validate_response(response, checks=[schemathesis.checks.not_a_server_error])
        assert response.status_code < 500

    run()
