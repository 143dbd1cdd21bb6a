"""Which settings differ, and what that means for a reload."""

from dataclasses import replace
from pathlib import Path

from chatvault.config.settings import ModelAlias, ProviderEntry, ServerSettings, Settings
from chatvault.daemon.reload import changes
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
