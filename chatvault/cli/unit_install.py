"""Puts systemd's files in place and takes them away; what is right already is left alone."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from chatvault.cli.unit_files import UnitFile
from chatvault.errors import ChatVaultError, NotPermitted

Commands: TypeAlias = Sequence[Sequence[str]]
_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is or would be done, in words; `text` is a file's new content."""

    what: str
    text: str | None = None


def install(files: Sequence[UnitFile], commands: Commands, *, is_dry: bool) -> tuple[Change, ...]:
    """Write `files` and run `commands`, or only say so. Raises ChatVaultError, NotPermitted."""
    changes = []
    for file in files:
        state = _state(file)
        changes.append(Change(f"{state} {file.path}", file.text if state != "keep" else None))
        if not is_dry and state != "keep":
            _guarded(file.path, partial(_write, file))
    return (*changes, *_run_all(commands, is_dry=is_dry))


def uninstall(
    files: Sequence[UnitFile], *, before: Commands, after: Commands, is_dry: bool
) -> tuple[Change, ...]:
    """Take `files` away between two rounds of commands, or only say so; settings and data stay."""
    there = [file for file in files if file.path.exists()]
    changes = list(_run_all(before if there else (), is_dry=is_dry))
    for file in there:
        changes.append(Change(f"remove {file.path}"))
        if not is_dry:
            _guarded(file.path, file.path.unlink)
    return (*changes, *_run_all(after if there else (), is_dry=is_dry))


def _state(file: UnitFile) -> str:
    try:
        return "keep" if file.path.read_text(encoding="utf-8") == file.text else "update"
    except FileNotFoundError:
        return "write"
    except OSError:
        return "update"


def _write(file: UnitFile) -> None:
    file.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    temporary = file.path.with_name(f".{file.path.name}.new")
    temporary.write_text(file.text, encoding="utf-8")
    temporary.chmod(0o644)
    temporary.replace(file.path)


def _guarded(path: Path, work: Callable[[], None]) -> None:
    try:
        work()
    except PermissionError as exc:
        raise NotPermitted(f"{path} can't be changed: {exc.strerror}", hint="use sudo, or --user") from exc
    except OSError as exc:
        raise ChatVaultError(f"{path} can't be changed: {exc.strerror}") from exc


def _run_all(commands: Commands, *, is_dry: bool) -> tuple[Change, ...]:
    changes = []
    for command in commands:
        changes.append(Change(f"run {' '.join(command)}"))
        if not is_dry:
            run(command)
    return tuple(changes)


def run(command: Sequence[str]) -> None:
    """Run one of systemd's programs. Raises ChatVaultError with what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except FileNotFoundError as exc:
        raise ChatVaultError(f"{command[0]} is not there: this machine has no systemd") from exc
    except subprocess.TimeoutExpired as exc:
        raise ChatVaultError(f"{' '.join(command)} took longer than {_SECONDS} s") from exc
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        hint = "use sudo" if os.geteuid() != 0 and "--user" not in command else None
        raise ChatVaultError(f"{' '.join(command)}: {said}", hint=hint)
