"""`chatvault users`: who owns access tokens, and what all of a user's tokens together may use."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("Who owns access tokens: list, and set what a user may use.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the users: their limits, and how many access tokens each has that open something."""
    from chatvault.cli.spending import spent_by_all, spent_usd
    from chatvault.control.limits import limits_text
    from chatvault.control.users import user_json

    context = Context.of(ctx)
    now_ms = context.now_ms()
    with context.reader() as reader:
        users, tokens = reader.users(), reader.tokens()
        sums = spent_by_all(context, reader, users)
    spent = {user.name: spent_usd(user, [each for each in sums if each.user == user.name]) for user in users}
    live = {
        user.name: sum(each.user == user.name and each.is_valid(now_ms) for each in tokens) for user in users
    }
    if as_json:
        rows = [
            {
                **user_json(each.name, each.created_at, each),
                "spent_usd": spent[each.name],
                "tokens": live[each.name],
            }
            for each in users
        ]
        output.show_json({"users": rows})
        return
    zone = context.zone()
    titles = [
        output.Column("user"),
        output.Column("since"),
        output.Column("access tokens", is_number=True),
        output.Column("limits"),
    ]
    cells = [
        (
            each.name,
            output.local(each.created_at, zone),
            str(live[each.name]),
            limits_text(each, spent[each.name]),
        )
        for each in users
    ]
    output.show_table(titles, cells, environ=context.environ)


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The user; made if there is none of that name.")],
    budget: Annotated[
        str | None, typer.Option(metavar="USD/day|month|total", help="What all of it may cost: 5.00/day.")
    ] = None,
    rpm: Annotated[str | None, typer.Option(metavar="N", help="Requests a minute.")] = None,
    tpm: Annotated[str | None, typer.Option(metavar="N", help="Tokens a minute, in and out.")] = None,
    concurrency: Annotated[str | None, typer.Option(metavar="N", help="Requests running at once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set what all access tokens of a user together may use; `none` takes a limit away, the others stay."""
    from chatvault.cli import user_desk

    words = {"budget": budget, "rpm": rpm, "tpm": tpm, "concurrency": concurrency}
    changed = user_desk.set_limits(Context.of(ctx), name, words)
    if as_json:
        output.show_json(changed)
        return
    limits = ", ".join(f"{word} {changed[word]}" for word in words if changed[word] is not None)
    output.show(f"{changed['name']}: {limits or 'no limits'}")
