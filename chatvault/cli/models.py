"""`chatvault models`: what can be asked, and what it costs."""

import asyncio
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("The models that can be asked, and their prices.", is_group=False)


@app.command()
def models(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the aliases, and what each provider offers. Exit code 5 where a provider does not answer."""
    from chatvault.cli import model_list

    context = Context.of(ctx)
    found = asyncio.run(model_list.collect(context))
    if as_json:
        output.show_json(
            {"models": [each.to_json() for each in found.models], "problems": list(found.problems)}
        )
    else:
        titles = [output.Column("model"), output.Column("goes to"), output.Column("context", is_number=True)]
        titles += [output.Column(title, is_number=True) for title in ("$/M in", "$/M out")]
        output.show_table(titles, [each.cells() for each in found.models], environ=context.environ)
        for problem in found.problems:
            output.talk(f"! {problem}")
    if found.problems:
        raise typer.Exit(5)
