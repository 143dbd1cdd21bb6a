"""`chatvault keys`: the providers' keys, which never leave this machine but to their provider."""

import sys
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.cli.prompt import hidden
from chatvault.errors import UsageError

app = new_app("The providers' keys: set, list.", is_group=True)


@app.command("set")
def set_(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(help="The provider's name in the settings.")],
    from_stdin: Annotated[bool, typer.Option("--stdin", help="Read the key from stdin.")] = False,
) -> None:
    """Write a provider's key into .env: by hidden prompt, or --stdin; never as an argument."""
    from chatvault.cli import key_desk

    context = Context.of(ctx)
    variable = key_desk.variable(context, provider)
    if not from_stdin and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask at", hint=f"chatvault keys set {provider} --stdin")
    value = sys.stdin.readline() if from_stdin else hidden(f"{provider} API key: ")
    for line in key_desk.store(context, provider, variable, value):
        output.talk(line)


@app.command("list")
def list_(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List the providers' keys, masked, and where they come from."""
    from chatvault.cli import key_desk

    context = Context.of(ctx)
    found = key_desk.listed(context)
    if as_json:
        output.show_json({"keys": list(found)})
        return
    titles = ("provider", "kind", "from", "key")
    rows = [tuple(str(each[title] or "–") for title in titles) for each in found]
    output.show_table([output.Column(title) for title in titles], rows, environ=context.environ)
