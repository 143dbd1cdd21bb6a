"""Every shell script of this repository, those inside other files too, is fine by shellcheck."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FOLDERS = (".ci", "chatvault", "packaging", "tests")
_SHELL = re.compile(rb"#!\s*/(?:usr/)?bin/(?:env )?(?:ba|da)?sh\b")
_SHELLCHECK = shutil.which("shellcheck")

needs_shellcheck = pytest.mark.skipif(_SHELLCHECK is None, reason="shellcheck is not installed")


def _scripts() -> list[str]:
    files = (each for folder in _FOLDERS for each in (_ROOT / folder).rglob("*") if each.is_file())
    return sorted(str(each.relative_to(_ROOT)) for each in files if _SHELL.match(each.read_bytes()[:64]))


def _findings(*words: str, stdin: str | None = None) -> str:
    assert _SHELLCHECK is not None
    command = [_SHELLCHECK, "--norc", "--format=gcc", *words]
    done = subprocess.run(command, cwd=_ROOT, input=stdin, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_scripts_are_found() -> None:
    kinds = {".ci/run", "chatvault/tunnel/relay_setup.sh", "packaging/debian/postinst", "tests/run"}
    assert kinds < set(_scripts())


@needs_shellcheck
@pytest.mark.parametrize("script", _scripts())
def test_a_script_is_fine_by_shellcheck(script: str) -> None:
    assert _findings("--", script) == ""


@needs_shellcheck
def test_the_relays_one_command_is_fine_by_shellcheck() -> None:
    text = (_ROOT / "chatvault/tunnel/relay_setup.sh").read_text()
    inside = re.findall(r"^put 755 \S+ <<'EOF'\n(.*?)^EOF$", text, re.MULTILINE | re.DOTALL)
    assert len(inside) == 1
    assert _findings("-", stdin=inside[0]) == ""


@needs_shellcheck
def test_what_units_have_a_shell_do_is_fine_by_shellcheck() -> None:
    units = "\n".join(each.read_text() for each in sorted((_ROOT / "systemd").rglob("*.service")))
    commands = re.findall(r"^Exec\w+=[-+!@:]*/bin/sh -c '(.*)'$", units, re.MULTILINE)
    assert len(commands) == units.count("sh -c")
    for command in commands:
        # systemd writes a dollar sign as two.
        assert _findings("--shell=sh", "-", stdin=command.replace("$$", "$") + "\n") == "", command


@needs_shellcheck
def test_what_is_not_fine_is_found() -> None:
    assert "SC2086" in _findings("-", stdin='#!/bin/sh\nname="a b"\nls $name\n')
