"""`chatvault usage`: who used what, and what it cost."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Who used what, and what it cost.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
When = "7d, 24h, today, yesterday, 2026-11-01 or 2026-11-01T08:00"


@app.callback(invoke_without_command=True, no_args_is_help=False)
def usage(
    ctx: typer.Context,
    since: Annotated[str, typer.Option(metavar="WHEN", help=f"From when on: {When}.")] = "7d",
    until: Annotated[str, typer.Option(metavar="WHEN", help="Up to when, itself not included.")] = "now",
    by: Annotated[
        str,
        typer.Option(
            metavar="WORD,…",
            help="model, provider, token, user, day, hour, client, status; several with commas.",
        ),
    ] = "model",
    token: Annotated[str | None, typer.Option(help="Only this access token, by name or id.")] = None,
    model: Annotated[str | None, typer.Option(help="Only this model.")] = None,
    tz: Annotated[str | None, typer.Option(help="Whose days count: Europe/Berlin, UTC, local.")] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show use and cost. `show REQUEST_ID` shows one request, `tail` the newest."""
    if ctx.invoked_subcommand is not None:
        return
    from chatvault.cli import usage_report

    context = Context.of(ctx)
    report = usage_report.query(context, since=since, until=until, by=by, token=token, model=model, tz=tz)
    if as_json:
        output.show_json(usage_report.to_json(report))
    elif csv:
        output.show_csv(*usage_report.to_csv(report))
    else:
        output.show(usage_report.headline(report))
        output.show_table(*usage_report.to_table(report), environ=context.environ)
        for line in usage_report.remarks(report):
            output.talk(line)


@app.command()
def show(
    ctx: typer.Context,
    request_id: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="The id in x-request-id.")],
    content: Annotated[
        bool, typer.Option("--content", help="Also its prompt and answer, where they are kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one request whole, with its place in the audit chain."""
    from chatvault.cli import request_view

    context = Context.of(ctx)
    found = request_view.whole(context, request_id)
    if content:
        from chatvault.cli import content_desk

        found = {**found, "content": content_desk.read(context, request_id)}
    if as_json:
        output.show_json(found)
    else:
        output.show_facts(request_view.for_people(found, context.zone()))


@app.command()
def tail(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as requests come in.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many to begin with.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest requests, the last one last."""
    from chatvault.cli import request_view

    context = Context.of(ctx)
    request_view.tail(context, count, is_following=follow, as_json=as_json)
