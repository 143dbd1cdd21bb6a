"""`chatvault prices`: what models cost, where the price comes from, and how it is put right."""

from typing import Annotated, Any

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("What models cost: list, show, set, reprice.", is_group=True)

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


def _figure(help: str, *names: str) -> Any:
    return typer.Option(*names, metavar="USD", help=f"{help}, in USD per million tokens.")


@app.command("set")
def set_(
    ctx: typer.Context,
    model: Annotated[
        str, typer.Argument(help="The provider's own id, or PROVIDER/ID for that provider alone.")
    ],
    input_: Annotated[str | None, _figure("Tokens in", "--input")] = None,
    output_: Annotated[str | None, _figure("Tokens out", "--output")] = None,
    cache_read: Annotated[str | None, _figure("Tokens read from a cache; left out: as --input")] = None,
    cache_write_5m: Annotated[str | None, _figure("Tokens written to a cache for 5 minutes")] = None,
    cache_write_1h: Annotated[str | None, _figure("Tokens written to a cache for an hour")] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="DAY", help="The first day (UTC) it holds; left out: always has."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="The first day (UTC) it no longer holds; left out: none."),
    ] = None,
    note: Annotated[str, typer.Option(help="Where the price comes from.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Take back what was set for the model.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set a price of your own: it goes before every table, from the next request on."""
    from chatvault.cli import price_desk

    figures = {
        "input": input_,
        "output": output_,
        "cache_read": cache_read,
        "cache_write_5m": cache_write_5m,
        "cache_write_1h": cache_write_1h,
    }
    body = {"model": model, "usd_per_mtok": figures, "from": from_, "to": to, "note": note}
    done = price_desk.set_price(Context.of(ctx), {"model": model} if remove else body)
    if as_json:
        output.show_json(done)
    elif remove:
        output.show(f"{model}: what was set is taken back")
    else:
        output.show(f"{model}: set. What was settled before costs what it did: chatvault prices reprice")


@app.command()
def reprice(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(metavar="7d", help="From when on: 7d, today, 2026-11-01.")],
    until: Annotated[str, typer.Option(help="Up to when.")] = "now",
    model: Annotated[str | None, typer.Option(help="This model alone: its id, or PROVIDER/ID.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: AsJson = False,
) -> None:
    """Reckon what settled requests cost at the prices known by now; the ledger's rows stay as they are."""
    from chatvault.cli import price_desk

    done = price_desk.reprice(Context.of(ctx), since=since, until=until, model=model, is_dry_run=dry_run)
    if as_json:
        output.show_json(done)
        return
    verb = "would cost" if dry_run else "cost"
    output.show(
        f"{done['changed']} requests {verb} {done['difference_usd']} USD more; {done['unchanged']} stay."
    )
    if done["unexplained"]:
        output.show(
            f"{done['unexplained']} stay as they are: their cost rests on more than their token counts."
        )
