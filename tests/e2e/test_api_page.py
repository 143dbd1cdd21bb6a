"""The gateway's own OpenAPI page is true: schemathesis asks what it allows, and gets what it promises."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
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


@pytest.fixture
def api(daemon: Daemon) -> Any:
    page = httpx.get(f"{daemon.url}/openapi.json", headers=_login(daemon)).json()
    schema = schemathesis.openapi.from_dict(page)
    schema.config.update(base_url=daemon.url)
    return schema


schema = schemathesis.pytest.from_fixture("api")


@pytest.mark.seconds(600)
@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_page_promises_holds(case: Any, daemon: Daemon) -> None:
    response = case.call(headers=_login(daemon), timeout=10)
    case.validate_response(response, checks=_CHECKS)
    assert response.status_code < 500
