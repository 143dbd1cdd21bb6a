"""`chatvault backup`: copies of the database, made beside the daemon and put back without it."""

from pathlib import Path
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Backups: create, list, verify, restore.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def create(
    ctx: typer.Context,
    path: Annotated[Path | None, typer.Argument(help="Where to; else among the others.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a backup while everything runs on; it is verified before it gets its name."""
    from chatvault.cli import backup_desk

    made = backup_desk.create(Context.of(ctx), path)
    if as_json:
        output.show_json(made)
    else:
        output.show(str(made["path"]))
        output.talk(f"{made['requests']} requests, {made['seq']} entries, verified.")


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the backups, and what restores and updates have set aside."""
    from chatvault.cli import backup_desk

    context = Context.of(ctx)
    found = backup_desk.listed(context)
    if as_json:
        output.show_json({"backups": [backup_desk.to_json(each) for each in found]})
        return
    zone = context.zone()
    rows = [
        (str(each.path), output.local(each.made_ms, zone), f"{each.size_bytes / 1e6:,.1f} MB")
        for each in found
    ]
    titles = [output.Column("file"), output.Column("made"), output.Column("size", is_number=True)]
    output.show_table(titles, rows, environ=context.environ)
    if not rows:
        output.talk("There is none yet: chatvault backup create")


@app.command()
def verify(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A backup.")],
    as_json: AsJson = False,
) -> None:
    """Check a backup whole: pages, audit chain, signatures, ledger. Exit code 1 where something is wrong."""
    from chatvault.cli import backup_desk

    found = backup_desk.verified(Context.of(ctx), path)
    if as_json:
        output.show_json(found)
    elif found["ok"]:
        output.show(f"{path} is whole: {found['requests']} requests, {found['seq']} entries")
    else:
        output.show(str(found["problem"]))
    if not found["ok"]:
        raise typer.Exit(1)


@app.command()
def restore(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A backup.")],
    yes: Annotated[bool, typer.Option("--yes", help="Replace the database that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the database's place; the daemon must be down, and the old database is kept."""
    from chatvault.cli import backup_desk

    done = backup_desk.restore(Context.of(ctx), path, is_sure=yes)
    if as_json:
        output.show_json(done)
        return
    for line in backup_desk.in_words(done):
        output.show(line)
