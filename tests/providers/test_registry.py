"""The registry of kinds."""

import subprocess
import sys

import pytest

from chatvault.errors import ConfigError
from chatvault.providers import registry


def test_a_kind_has_its_own_settings() -> None:
    from chatvault.providers.echo import Settings

    assert registry.settings_type("echo") is Settings


def test_a_misspelt_kind_names_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.settings_type("olama")
    assert "did you mean 'ollama'?" in (caught.value.hint or "")


def test_a_kind_like_nothing_lists_what_there_is() -> None:
    with pytest.raises(ConfigError) as caught:
        registry.settings_type("base")
    assert "known kinds: ollama, anthropic" in (caught.value.hint or "")


def test_importing_the_registry_imports_no_kind() -> None:
    code = (
        "import sys, chatvault.providers.registry as r;"
        "print([k for k in r.KINDS if 'chatvault.providers.' + k in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
