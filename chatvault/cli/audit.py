"""`chatvault audit`: the hash chain over everything that happened."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("The audit chain: verify it, look at its end.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    ctx: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Also compare each ledger row with its entry, both ways.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that no entry was changed, removed or put in. Exit code 1 where one was."""
    from chatvault.cli import audit_view

    found = audit_view.verified(Context.of(ctx), is_full=full)
    if as_json:
        output.show_json(found)
    else:
        for line in audit_view.in_words(found):
            output.show(line)
    if not found["ok"]:
        raise typer.Exit(1)


@app.command()
def tail(
    ctx: typer.Context,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest entries, the last one last."""
    from chatvault.cli import audit_view

    context = Context.of(ctx)
    entries = audit_view.newest(context, count)
    if as_json:
        output.show_json({"entries": [audit_view.to_json(each) for each in entries]})
        return
    zone = context.zone()
    titles = [
        output.Column("seq", is_number=True),
        *(output.Column(each) for each in ("time", "kind", "about", "hash")),
    ]
    output.show_table(titles, [audit_view.cells(each, zone) for each in entries], environ=context.environ)
