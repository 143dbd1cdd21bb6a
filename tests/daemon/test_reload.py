"""Which settings differ, and what that means for a reload."""

from dataclasses import replace
from pathlib import Path

import pytest

from chatvault.config.settings import ModelAlias, ProviderEntry, ServerSettings, Settings
from chatvault.daemon.reload import _is_taken_over, changes
from chatvault.providers.base import ProviderSettings


def test_each_setting_that_differs_is_named() -> None:
    before: Settings[ProviderSettings] = Settings(path=Path("/c"))
    after = replace(
        before,
        path=Path("/other"),
        server=ServerSettings(port=5000),
        models={"fast": ModelAlias(routes=("echo/echo",))},
        providers={"echo": ProviderEntry("echo", "echo", ProviderSettings())},
    )

    assert changes(before, after) == ("server.port", "providers.echo", "models.fast")
    assert changes(after, after) == ()


@pytest.mark.parametrize(
    ("name", "is_taken_over"),
    [
        ("tunnel.host", True),
        ("server.tls", True),
        ("providers.ollama", True),
        ("audit.content", True),
        ("audit.content_days", False),
        ("server.port", False),
        ("log.level", True),
        ("log.format", False),
    ],
)
def test_a_setting_is_taken_over_or_needs_a_restart(name: str, is_taken_over: bool) -> None:
    assert _is_taken_over(name) is is_taken_over
