"""Tests of what a request's path is taken for."""

import pytest

from chatvault.gateway.requests import canonical_path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/v1/chat/completions/",
        "/chat/completions",
        "/v1/v1/chat/completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "//chat/completions",
        "/v1//v1///chat/completions//",
    ],
)
def test_a_base_url_may_end_as_it_likes(path: str) -> None:
    assert canonical_path(path) == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/health/", "/health"),
        ("/v1/", "/v1"),
        ("/models", "/v1/models"),
        ("//models/echo/echo", "/v1/models/echo/echo"),
        ("/v1/models/a//b", "/v1/models/a//b"),
        ("/v1beta/models", "/v1beta/models"),
    ],
)
def test_only_the_beginning_is_mended(path: str, meant: str) -> None:
    assert canonical_path(path) == meant
