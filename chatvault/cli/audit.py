"""`chatvault audit`: the hash chain over everything that happened."""

from pathlib import Path
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("The audit chain: verify, sign, export, prune it.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def verify(
    ctx: typer.Context,
    full: Annotated[
        bool, typer.Option("--full", help="Also compare each ledger row with its entry, both ways.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also compare with the checkpoints in a log; - reads stdin."),
    ] = None,
    archives: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also check the archives of pruned entries.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check the chain and its signed checkpoints: nothing changed, removed or put in. Exit code 1 if so."""
    from chatvault.cli import audit_view

    found = audit_view.verified(Context.of(ctx), is_full=full, against=against, archives=archives)
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


@app.command()
def checkpoint(
    ctx: typer.Context,
    accept: Annotated[
        bool, typer.Option("--accept", help="Even a chain that was found changed; the daemon must be down.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Sign the chain's end now, and print the line to keep elsewhere."""
    from chatvault.cli import audit_desk

    made = audit_desk.checkpoint(Context.of(ctx), accepts_doubt=accept)
    if as_json:
        output.show_json(made)
    else:
        output.show(str(made["line"]))


@app.command()
def export(
    ctx: typer.Context,
    since: Annotated[str | None, typer.Option(metavar="WHEN", help="From when on: 7d, 2026-11-01.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Up to when, itself not included.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of NDJSON.")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where to; - is stdout, without a signature.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Whose days count: Europe/Berlin, UTC, local.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the chain to a file, and its signature beside it: both can be checked without ChatVault."""
    from chatvault.cli import audit_desk

    wanted = audit_desk.Wanted(since, until, tz, format="csv" if as_csv else "ndjson")
    if out is not None and str(out) == "-":
        audit_desk.print_export(Context.of(ctx), wanted)
        return
    done = audit_desk.export(Context.of(ctx), wanted, out)
    if as_json:
        output.show_json(done)
        return
    output.show(str(done["path"]))
    output.show(str(done["signature"]))
    output.talk(f"Entries {done['first']} to {done['last']}. Check them: {done['check']}")


@app.command()
def prune(
    ctx: typer.Context,
    keep: Annotated[str | None, typer.Option(metavar="90d", help="How much of the chain stays.")] = None,
    before: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Take out what is older: 2026-01-01.")
    ] = None,
    tz: Annotated[str | None, typer.Option(help="Whose days count: Europe/Berlin, UTC, local.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask where less than a day would stay.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move old entries into a signed archive. The rest stays verifiable; no ledger row is removed."""
    from chatvault.cli import audit_desk

    done = audit_desk.prune(Context.of(ctx), keep=keep, before=before, tz=tz, is_sure=yes)
    if as_json:
        output.show_json(done)
    else:
        output.show(str(done["archive"]))
        output.talk(f"Entries {done['first']} to {done['last']} are in it. Keep it, and the .sig beside it.")
