"""`chatvault status`: what the running daemon does."""

import sys
import time
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.core.json_types import JsonObject

app = new_app("Show what the running daemon does.", is_group=False)

_CLEAR = "\x1b[H\x1b[2J"


@app.command()
def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between, with --watch.")] = 2.0,
) -> None:
    """Show what the running daemon does. Exit code 3 where none runs."""
    context = Context.of(ctx)
    _show(context, as_json=as_json, is_redrawn=False)
    while watch:
        sys.stdout.flush()
        time.sleep(every)
        _show(context, as_json=as_json, is_redrawn=not as_json and sys.stdout.isatty())


def _show(context: Context, *, as_json: bool, is_redrawn: bool) -> None:
    from chatvault.cli.status_view import for_people

    answer = context.control().get("/v1/status")
    found: JsonObject = {key: value for key, value in answer.items() if key != "schema"}
    if is_redrawn:
        sys.stdout.write(_CLEAR)
    if as_json:
        output.show_json(found)
    else:
        output.show_facts(for_people(found, context.zone()))
