"""The README tells the truth: its commands exist, all of them, and its files are there."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from chatvault.cli.commands import COMMANDS
from chatvault.core.access import is_well_formed, new_secret

_ROOT = Path(__file__).parents[1]
_README = (_ROOT / "README.md").read_text()


def _all_commands() -> list[str]:
    found = []
    for name, command in COMMANDS.items():
        built = get_command(import_module(command.module).app)
        below = getattr(built, "commands", {})
        found += [f"{name} {sub}" for sub in below] if below else [name]
    return found


def _documented() -> set[str]:
    """The commands of the table: `chatvault tokens add` · `list` · `usage show` stand for one each."""
    found = set()
    for line in _README.splitlines():
        if line.startswith("| `chatvault "):
            first, *others = re.findall(r"`([^`]+)`", line.split("|")[1])
            words = first.split()[1:]
            found.add(" ".join(words))
            for other in others:
                found.add(other if other.split()[0] == words[0] else f"{words[0]} {other}")
    return found


@pytest.mark.parametrize("command", _all_commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert command in _documented()


def test_the_readme_promises_no_command_that_is_not_there() -> None:
    known = set(_all_commands()) | set(COMMANDS)
    assert _documented() <= known
    for used in re.findall(r"^(?:\.venv/bin/)?chatvault ([a-z]+)", _README, re.MULTILINE):
        assert used in COMMANDS


def test_every_file_the_readme_names_is_there() -> None:
    named = re.findall(r"`((?:chatvault|tests|packaging)/[\w./]+)`", _README)
    assert named
    assert [path for path in named if not (_ROOT / path).exists()] == []


def test_the_pattern_for_secret_scanners_finds_access_tokens() -> None:
    pattern = re.search(r"`(\\bcvk_[^`]+)`", _README)
    assert pattern
    secret = new_secret(lambda alphabet: alphabet[-1])
    assert is_well_formed(secret)
    assert re.findall(pattern[1], f"key={secret}.") == [secret]


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert "## [Unreleased]" in (_ROOT / "CHANGELOG.md").read_text()
