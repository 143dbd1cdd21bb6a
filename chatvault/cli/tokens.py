"""`chatvault tokens`: what devices hold."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.core.json_types import JsonObject

app = new_app("Access tokens: add, list, revoke, rotate.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The device's name.")],
    user: Annotated[str, typer.Option(help="Who owns it.")] = "me",
    models: Annotated[
        str | None,
        typer.Option(metavar="GLOB,…", help="Only these models: names or PROVIDER/NAME, with * and ?."),
    ] = None,
    local_only: Annotated[
        bool, typer.Option("--local-only", help="Only providers that run at home.")
    ] = False,
    expires: Annotated[str | None, typer.Option(metavar="90d", help="How long it is good for.")] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="USD/day|month|total", help="What it may cost: 5.00/day.")
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, help="Tokens a minute, in and out.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests running at once.")] = None,
    content: Annotated[
        str | None,
        typer.Option(metavar="off|errors|full", help="Keep prompts and answers, encrypted, for a while."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an access token and show its secret, once."""
    from chatvault.cli import token_desk
    from chatvault.control.tokens import TokenOrder, globs

    context = Context.of(ctx)
    order = TokenOrder(
        name=name,
        user=user,
        models=() if models is None else globs(models),
        is_local_only=local_only,
        expires_at=token_desk.expiry(expires, context.now_ms()),
        budget=budget,
        requests_per_minute=rpm,
        tokens_per_minute=tpm,
        concurrency=concurrency,
        content=content,
    )
    _show_secret(context, token_desk.add(context, order), as_json=as_json)


@app.command("list")
def list_(
    ctx: typer.Context,
    all_: Annotated[bool, typer.Option("--all", help="Also the revoked and the expired.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the access tokens; secrets are never shown again."""
    from chatvault.cli import token_desk
    from chatvault.cli.spending import spent_by_all, spent_usd
    from chatvault.control.limits import limits_text
    from chatvault.control.tokens import token_json

    context = Context.of(ctx)
    found = token_desk.listed(context, is_all=all_)
    with context.reader() as reader:
        sums = spent_by_all(context, reader, found)
    spent = {
        token.id: spent_usd(token, [each for each in sums if each.token_id == token.id]) for token in found
    }
    if as_json:
        output.show_json({"tokens": [{**token_json(each), "spent_usd": spent[each.id]} for each in found]})
        return
    zone = context.zone()
    now_ms = context.now_ms()
    titles = ("name", "id", "user", "ends in", "models", "limits", "made", "expires", "last used", "")
    rows = [
        (
            each.name,
            each.id,
            each.user,
            f"…{each.last_four}",
            token_desk.scope(each),
            limits_text(each, spent[each.id]),
            output.local(each.created_at, zone),
            output.local(each.expires_at, zone) if each.expires_at else "never",
            output.local(each.last_used_at, zone) if each.last_used_at else "never",
            token_desk.state(each, now_ms),
        )
        for each in found
    ]
    output.show_table([output.Column(each) for each in titles], rows, environ=context.environ)
    if not rows:
        output.talk("No device can connect yet: chatvault tokens add NAME")


@app.command()
def revoke(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(help="Its name or id.")],
    as_json: AsJson = False,
) -> None:
    """Revoke an access token: from its next request on, and its running answers end."""
    from chatvault.cli import token_desk

    revoked = token_desk.revoke(Context.of(ctx), token)
    if as_json:
        output.show_json(revoked)
    else:
        output.show(f"revoked {revoked['name']} ({revoked['id']})")


@app.command()
def rotate(
    ctx: typer.Context,
    token: Annotated[str, typer.Argument(help="Its name or id.")],
    grace: Annotated[
        str,
        typer.Option(metavar="24h", help="How long the old secret opens the door as well; 0: not at all."),
    ] = "24h",
    as_json: AsJson = False,
) -> None:
    """Give an access token a new secret and show it, once."""
    from chatvault.cli import token_desk

    context = Context.of(ctx)
    rotated = token_desk.rotate(context, token, grace=grace)
    _show_secret(context, rotated, as_json=as_json)


def _show_secret(context: Context, token: JsonObject, *, as_json: bool) -> None:
    from chatvault.cli import token_desk

    if as_json:
        output.show_json(token)
        return
    url, secret = token_desk.api_url(context, token), token["secret"]
    output.talk(f"Access token {token['name']} ({token['id']}). Only its hash is kept: this is shown once.")
    output.show(str(secret))
    output.talk(f"Base URL  {url}")
    if token.get("expires_at"):
        output.talk(f"Expires   {token['expires_at']}")
    output.talk(f'Try it:   curl {url}/models -H "Authorization: Bearer {secret}"')
    output.talk(f"Undo:     chatvault tokens revoke {token['name']}")
