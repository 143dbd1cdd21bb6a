"""The typer app: a group that imports a command's module when that command is called."""

from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command as built

from chatvault.cli.commands import COMMANDS, overview
from chatvault.cli.context import GlobalOptions


class LazyGroup(TyperGroup):
    """The root: knows its commands' names, and loads one of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, in the order `--help` shows them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Load a command, None where there is none of that name."""
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        return built(import_module(command.module).app)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or name the nearest one: the parent class only knows those already loaded."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{guess}")
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """Return the overview that `main` prints without coming here."""
        return overview()


root = typer.Typer(cls=LazyGroup, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@root.callback()
def options(
    ctx: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="Use another settings file.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Take the options that stand before the command."""
    ctx.obj = GlobalOptions(config=config, is_debug=debug)


def new_app(help: str, *, is_group: bool) -> typer.Typer:
    """Make a command's app. A group of one command stays a group."""
    app = typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=is_group,
        pretty_exceptions_enable=False,
    )
    if is_group:
        app.callback()(_nothing)
    return app


def _nothing() -> None:
    return None
