"""`chatvault users`: who owns access tokens."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Who owns access tokens.", is_group=True)


@app.command("list")
def list_(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the users, with how many access tokens each has that open something."""
    context = Context.of(ctx)
    now_ms = context.now_ms()
    with context.reader() as reader:
        users, tokens = reader.users(), reader.tokens()
    live = {
        user.name: sum(each.user == user.name and each.is_valid(now_ms) for each in tokens) for user in users
    }
    if as_json:
        rows = [
            {"name": each.name, "created_at": output.iso(each.created_at), "tokens": live[each.name]}
            for each in users
        ]
        output.show_json({"users": rows})
        return
    zone = context.zone()
    titles = [output.Column("user"), output.Column("since"), output.Column("access tokens", is_number=True)]
    cells = [(each.name, output.local(each.created_at, zone), str(live[each.name])) for each in users]
    output.show_table(titles, cells, environ=context.environ)
