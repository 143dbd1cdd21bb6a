"""`chatvault init`: the first settings. Nothing is written before the last step."""

import sys
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.errors import UsageError

app = new_app("Set up: find models, ask for keys, write the settings.", is_group=False)


@app.command()
def init(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing: take what is found.")] = False,
    system: Annotated[
        bool, typer.Option("--system", help="For the system's service: user, folders and owners too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; needs --yes.")] = False,
) -> None:
    """Find Ollama, ask for the providers' keys, write the settings. What is there already stays."""
    from chatvault.cli import first_steps, system_setup

    if not yes and (as_json or not sys.stdin.isatty()):
        raise UsageError("there is no one to ask", hint="chatvault init --yes")
    context = Context.of(ctx)
    context.is_own = True
    prepare = system_setup.preparation(context) if system else None
    done = first_steps.run(context, is_asking=not yes, prepare=prepare)
    if as_json:
        output.show_json(done)
