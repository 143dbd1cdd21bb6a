"""The command line, run inside the test's own process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatvault.cli.main import run
from chatvault.config.places import Places, find_places


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        found = json.loads(self.out)
        assert found["schema"] == 1
        return found


@dataclass(frozen=True)
class Program:
    """ChatVault with a home of its own."""

    places: Places
    run: Callable[..., Outcome]

    def write_settings(self, text: str) -> None:
        """Write config.yaml, private as `init` does."""
        self.places.config.write_text(text)
        self.places.config.chmod(0o600)


def program(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Program:
    """Set the environment up so that everything lies below `home`, and no key comes from outside."""
    home.chmod(0o700)
    monkeypatch.setenv("CHATVAULT_HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")
    for name in ("ANTHROPIC_API_KEY", "DEEPSEEK_API_KEY", "CREDENTIALS_DIRECTORY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def execute(*words: str) -> Outcome:
        capsys.readouterr()
        code = run(words)
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return Program(find_places({"CHATVAULT_HOME": str(home)}, is_root=False), execute)
