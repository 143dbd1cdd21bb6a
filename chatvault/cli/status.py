"""`chatvault status`: what the running daemon does."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Show what the running daemon does.", is_group=False)


@app.command()
def status(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """Show what the running daemon does. Exit code 3 where none runs."""
    from chatvault.cli.status_view import for_people

    context = Context.of(ctx)
    answer = context.control().get("/v1/status")
    found = {key: value for key, value in answer.items() if key != "schema"}
    if as_json:
        output.show_json(found)
    else:
        output.show_facts(for_people(found, context.zone()))
