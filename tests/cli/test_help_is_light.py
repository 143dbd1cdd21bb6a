"""Help comes at once: nothing heavy is imported for it."""

import json
import subprocess
import sys

import pytest

from chatvault.cli.commands import COMMANDS

HEAVY = {"litellm", "fastapi", "httpx", "asyncssh", "rich", "peewee", "uvicorn", "yaml", "uvloop", "msgspec"}
PROBE = """
import contextlib, io, json, sys
from chatvault.cli.main import run
with contextlib.redirect_stdout(io.StringIO()):
    code = run(sys.argv[1:])
print(json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported(*words: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *words], capture_output=True, text=True, check=True, timeout=30
    )
    code, names = json.loads(result.stdout)
    assert code == 0
    return set(names)


def test_the_overview_needs_not_even_typer() -> None:
    names = imported("--help")

    assert not names & {*HEAVY, "typer", "sqlite3", "asyncio"}
    assert "chatvault" in names


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_imports_nothing_heavy(command: str) -> None:
    assert not imported(command, "--help") & HEAVY


def test_a_report_imports_no_server_and_no_provider(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = imported("config", "path")

    assert not names & {"litellm", "fastapi", "httpx", "asyncssh", "peewee", "uvicorn", "uvloop"}
