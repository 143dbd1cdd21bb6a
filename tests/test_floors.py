"""The house stands as it is drawn: imports point down, and what is heavy comes in by one door."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "chatvault"
_FLOORS = {
    "cli": 5,
    "daemon": 4,
    "gateway": 3,
    "config": 2,
    "control": 2,
    "providers": 2,
    "store": 2,
    "tunnel": 2,
    "core": 1,
    "errors": 0,
    "": 0,
    "__main__": 6,
}
# The part of the standard library that knows no clock, no chance, no files and no network.
_PURE = {"binascii", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "fnmatch"}
_PURE |= {"functools", "hashlib", "html", "ipaddress", "itertools", "json", "math", "operator", "re"}
_PURE |= {"string", "struct", "types", "typing", "unicodedata", "zlib", "zoneinfo"}
# Who may import what is slow, large, or has the run of the machine; everything below a package counts.
_DOORS = {
    "litellm": {"providers/litellm_door.py"},
    "fastapi": {"gateway/api.py"},
    "asyncssh": {
        "tunnel/faults.py",
        "tunnel/keys.py",
        "tunnel/known_hosts.py",
        "tunnel/link.py",
        "tunnel/login.py",
        "tunnel/watch.py",
        "tunnel/listener.py",
        "tunnel/ssh_internals.py",
        "tunnel/takeover.py",
    },
    "httpx": {"providers/http/transport.py"},
    "xllamacpp": {"providers/embedded_server.py"},
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def _files() -> list[str]:
    return sorted(str(path.relative_to(_SOURCE)) for path in _SOURCE.rglob("*.py"))


def _room_of_file(name: str) -> str:
    first = name.split("/")[0].removesuffix(".py")
    return "" if first == "__init__" else first


@pytest.mark.parametrize("name", _files())
def test_imports_point_down(name: str) -> None:
    room = _room_of_file(name)
    for module in _imports(_SOURCE / name):
        if module.split(".")[0] == "chatvault" and (other := _room(module)) != room:
            assert _FLOORS[other] < _FLOORS[room], f"{name} imports {module}"


@pytest.mark.parametrize("name", [name for name in _files() if name.startswith("core/")])
def test_core_imports_what_is_pure(name: str) -> None:
    for module in _imports(_SOURCE / name):
        is_ours = module.startswith(("chatvault.core", "chatvault.errors"))
        assert is_ours or module in _PURE or module.split(".")[0] in _PURE, f"{name} imports {module}"


@pytest.mark.parametrize("package", list(_DOORS))
def test_heavy_packages_come_in_by_one_door(package: str) -> None:
    importers = {
        name
        for name in _files()
        if any(module.split(".")[0] == package for module in _imports(_SOURCE / name))
    }
    assert importers <= _DOORS[package]


@pytest.mark.parametrize(
    ("command", "forbidden"),
    [
        (["--help"], ["typer", "litellm", "fastapi", "pydantic", "asyncio", "rich"]),
        (["tokens", "--help"], ["litellm", "fastapi", "pydantic", "uvicorn"]),
        (["usage", "--help"], ["litellm", "fastapi", "pydantic", "uvicorn"]),
    ],
)
def test_help_is_not_kept_waiting_by_what_it_does_not_need(command: list[str], forbidden: list[str]) -> None:
    probe = (
        "import sys; from chatvault.cli.main import run; code = run(sys.argv[1].split());"
        f"sys.exit(code or ','.join(m for m in {forbidden!r} if m in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, " ".join(command)],
        cwd=_ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert command[0].strip("-") == "help" or command[0] in done.stdout


@pytest.mark.parametrize("name", _files())
def test_a_file_opens_with_one_plain_sentence(name: str) -> None:
    doc = ast.get_docstring(ast.parse((_SOURCE / name).read_text()))
    assert doc and doc.partition("\n\n")[0].rstrip().endswith((".", ":", "?", "!"))
