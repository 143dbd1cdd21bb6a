"""Completions and the man page: made from the commands, and made well."""

import shutil
import subprocess
from pathlib import Path

import pytest

from chatvault.cli.command_tree import nodes
from chatvault.cli.commands import COMMANDS
from chatvault.cli.completion_scripts import bash, fish, zsh
from chatvault.cli.man_page import page
from tests.support.program import Program


def completed(tmp_path: Path, *words: str) -> list[str]:
    """Return what bash offers for the last of `words`."""
    (tmp_path / "script").write_text(bash())
    listed = " ".join(f"'{word}'" for word in ("chatvault", *words))
    code = (
        f"source {tmp_path}/script; COMP_WORDS=({listed}); COMP_CWORD={len(words)}; _chatvault;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    return done.stdout.split()


def test_bash_completes_commands_subcommands_and_options(tmp_path: Path) -> None:
    assert completed(tmp_path, "tok") == ["tokens"]
    assert set(completed(tmp_path, "tokens", "")) >= {"add", "list", "revoke", "rotate"}
    assert completed(tmp_path, "--config", "x.yaml", "tokens", "add", "--loc") == ["--local-only"]
    assert completed(tmp_path, "usage", "--sin") == ["--since"]


def test_zsh_and_fish_know_every_command() -> None:
    assert zsh().startswith("#compdef chatvault\n")
    script = fish()
    for name in COMMANDS:
        assert f" -a {name} " in script


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_prints_them(chatvault: Program, shell: str) -> None:
    done = chatvault.run("completions", shell)
    assert (done.code, "chatvault" in done.out) == (0, True)


def test_an_unknown_shell_is_wrong_usage(chatvault: Program) -> None:
    assert chatvault.run("completions", "cmd").code == 2


def test_the_man_page_has_every_command_and_option(tmp_path: Path) -> None:
    text = page("2026-11-26")
    for node in nodes():
        assert f".SS chatvault {' '.join(node.words)}".replace("-", r"\-") in text
        for option in node.options:
            assert option.names[0].replace("-", r"\-") in text
    if shutil.which("man") is None:
        return
    (tmp_path / "chatvault.1").write_text(text)
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", tmp_path / "chatvault.1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "warning" not in done.stderr
