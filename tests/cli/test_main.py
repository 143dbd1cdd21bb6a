"""Whatever happens: two lines and an exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from chatvault import __version__
from chatvault.cli.commands import COMMANDS
from chatvault.cli.main import click_exception
from chatvault.errors import DaemonNotRunning
from tests.support.program import Program


def start(home: Path, *words: str) -> "subprocess.Popen[str]":
    environ = {**os.environ, "CHATVAULT_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "chatvault", *words],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_error_is_two_lines_on_stderr(chatvault: Program) -> None:
    outcome = chatvault.run("status")

    assert outcome.code == 3
    assert outcome.out == ""
    assert outcome.err == "Error: the daemon is not running\nTry: chatvault serve\n"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["nonsense"], "No such command 'nonsense'", "chatvault --help"),
        (["usag"], "Did you mean 'usage'?", "chatvault --help"),
        (["tokens", "lst"], "Did you mean 'list'?", "chatvault tokens --help"),
        (["usage", "--snce", "7d"], "No such option", "chatvault usage --help"),
        (["tokens", "add"], "name", "chatvault tokens add --help"),
        (["serve", "--port", "70000"], "70000", "chatvault serve --help"),
        (["--nonsense"], "No such option", "chatvault --help"),
    ],
)
def test_a_wrong_call_is_told_like_any_other_error(
    chatvault: Program, words: list[str], error: str, hint: str
) -> None:
    outcome = chatvault.run(*words)

    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert error in outcome.err.splitlines()[0]
    assert outcome.err.splitlines()[1] == f"Try: {hint}"


def test_debug_lets_the_error_through(chatvault: Program) -> None:
    with pytest.raises(DaemonNotRunning):
        chatvault.run("--debug", "status")


def test_debug_after_the_command_is_the_commands(chatvault: Program) -> None:
    assert chatvault.run("status", "--debug").code == 2


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_the_overview_names_every_command(chatvault: Program, word: str) -> None:
    outcome = chatvault.run(word)

    assert outcome.code == 0
    assert all(f"  {name}" in outcome.out for name in COMMANDS)
    assert chatvault.run().out == outcome.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(chatvault: Program, name: str) -> None:
    outcome = chatvault.run(name, "--help")

    assert outcome.code == 0
    assert f"Usage: chatvault {name}" in outcome.out


def test_the_version(chatvault: Program) -> None:
    assert chatvault.run("--version").out == f"chatvault {__version__}\n"


def test_another_settings_file_is_used(chatvault: Program, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("providers: {e: {kind: echo}}")

    assert str(other) in chatvault.run("--config", str(other), "config", "check").out


def test_the_error_of_a_settings_file_names_its_line(chatvault: Program) -> None:
    chatvault.write_settings("server:\n  prot: 1\n")
    outcome = chatvault.run("config", "check")

    assert outcome.code == 2
    assert outcome.err == (
        f"Error: {chatvault.places.config}:2: server.prot: unknown key\nTry: did you mean port?\n"
    )


def test_a_mistake_of_the_program_ends_without_a_traceback(tmp_path: Path) -> None:
    code = (
        "import sys; from chatvault.cli import commands, main\n"
        "commands.COMMANDS['status'] = commands.Command('no.such.module', '')\n"
        "sys.exit(main.run(['status']))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)

    assert result.returncode == 1
    assert result.stderr.startswith("Error: ChatVault made a mistake: ModuleNotFoundError")
    assert "Traceback" not in result.stderr


def test_a_reader_that_has_seen_enough_gets_no_complaint(tmp_path: Path) -> None:
    with start(tmp_path, "prices", "list", "--all") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()

        assert process.stderr.read() == ""


def test_ctrl_c_is_130_and_quiet(tmp_path: Path) -> None:
    setup = start(tmp_path, "init", "--yes")
    setup.communicate(timeout=30)
    process = start(tmp_path, "usage", "tail", "-f", "--json")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)

    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [["--version", "--json"], ["--json", "--version"]])
def test_the_version_as_json(chatvault: Program, words: list[str]) -> None:
    assert chatvault.run(*words).json == {"schema": 1, "version": __version__}


def test_click_is_known_by_the_name_of_its_errors_class() -> None:
    assert click_exception().__name__ == "ClickException"
    assert issubclass(typer.BadParameter, click_exception())
    assert not issubclass(ValueError, click_exception())
    assert click_exception() is not Exception


@pytest.mark.parametrize("name", ["tokens", "audit", "config"])
def test_a_group_alone_shows_its_help_as_it_is(chatvault: Program, name: str) -> None:
    outcome = chatvault.run(name)

    assert outcome.code == 2
    assert outcome.err.strip() == chatvault.run(name, "--help").out.strip()
    assert "Error:" not in outcome.err


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["prices", "list", "--all"], ["config", "path"]]
)
def test_a_full_disk_below_stdout_is_two_lines(tmp_path: Path, words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "chatvault", *words],
            env={**os.environ, "CHATVAULT_HOME": str(tmp_path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )

    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == "Error: the output can't be written: No space left on device"
    assert lines[1].startswith("Try: ") and len(lines) == 2


def test_ctrl_c_while_modules_are_imported_is_130_and_quiet(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "module = sys.argv.pop(1)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == module:\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from chatvault.__main__ import main\n"
        "main()\n"
    )
    for module in ("chatvault.cli.main", "typer", "chatvault.control.client"):
        done = subprocess.run(
            [sys.executable, "-c", code, module, "status"], capture_output=True, text=True, timeout=30
        )

        assert done.returncode == 130, (module, done.stderr)
        assert done.stderr.strip() == ""
