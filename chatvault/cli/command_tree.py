"""All commands with their options, as the program itself describes them: for completions and the man page."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from typer.main import get_command

from chatvault.cli.commands import COMMANDS


@dataclass(frozen=True, slots=True)
class Option:
    """An option: its names, what it takes (empty for a switch), and its sentence of help."""

    names: tuple[str, ...]
    metavar: str
    help: str


@dataclass(frozen=True, slots=True)
class Node:
    """A command: the words that call it, its sentence of help, its arguments, options and subcommands."""

    words: tuple[str, ...]
    help: str
    arguments: tuple[str, ...]
    options: tuple[Option, ...]
    commands: tuple[str, ...]


def nodes() -> Iterator[Node]:
    """Yield every command, a group before what is in it."""
    for name, command in COMMANDS.items():
        yield from _walk((name,), get_command(import_module(command.module).app))


def _walk(words: tuple[str, ...], command: Any) -> Iterator[Node]:
    below = getattr(command, "commands", {})
    visible = {name: each for name, each in below.items() if not each.hidden}
    help = (command.help or "").strip().split("\n\n")[0].replace("\n", " ")
    arguments = tuple(
        each.make_metavar(_context(command)) for each in command.params if each.param_type_name == "argument"
    )
    options = tuple(
        Option(
            tuple((*each.opts, *each.secondary_opts)),
            "" if each.is_flag else (each.metavar or each.type.name.upper()),
            each.help or "",
        )
        for each in command.params
        if each.param_type_name == "option" and not each.hidden and each.name != "help"
    )
    yield Node(words, help, arguments, options, tuple(visible))
    for name, each in visible.items():
        yield from _walk((*words, name), each)


def _context(command: Any) -> Any:
    return command.context_class(command)
