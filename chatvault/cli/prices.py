"""`chatvault prices`: what models cost, and where the price comes from."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("What models cost, and where the price comes from.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also what no longer holds, or not yet.")] = False,
    as_json: AsJson = False,
) -> None:
    """List your own prices and the built-in table, in USD per million tokens."""
    from chatvault.cli import price_list

    context = Context.of(ctx)
    cards = price_list.cards(context, is_all=all_)
    if as_json:
        output.show_json({"prices": [price_list.to_json(each) for each in cards]})
        return
    titles = [output.Column(each) for each in ("provider", "model")]
    titles += [
        output.Column(each, is_number=True) for each in ("in", "out", "cache read", "write 5m", "write 1h")
    ]
    titles += [output.Column(each) for each in ("holds", "source")]
    output.show_table(titles, [price_list.cells(each) for each in cards], environ=context.environ)


@app.command()
def show(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="The provider's own id, or PROVIDER/ID.")],
    as_json: AsJson = False,
) -> None:
    """Show the price of a model in full. Exit code 1 where it has none."""
    from chatvault.cli import price_list

    found = price_list.of_model(Context.of(ctx), model)
    if as_json:
        output.show_json({"prices": [price_list.to_json(each) for each in found]})
    else:
        for card in found:
            output.show_facts(price_list.to_json(card))
