"""`chatvault config`: the settings."""

import asyncio
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.core.text import counted

app = new_app("The settings: check, show, path, reload.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def check(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Check the settings, secrets included. Exit code 2 where they can't be used."""
    from chatvault.cli.providers import check_providers
    from chatvault.daemon.public_side import build_public_side

    context = Context.of(ctx)
    settings = context.settings(are_secrets_needed=True)
    # Certificates and origins are looked into when what they are for is built.
    build_public_side(settings)
    asyncio.run(check_providers(context, settings))
    if as_json:
        output.show_json({"ok": True, "path": str(settings.path), "providers": list(settings.providers)})
    else:
        providers = counted(len(settings.providers), "provider")
        aliases = counted(len(settings.models), "alias", "aliases")
        output.show(f"{settings.path} is valid: {providers}, {aliases}")


@app.command()
def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every setting as it is in force; keys are masked."""
    from chatvault.config.render import as_yaml, plain

    settings = Context.of(ctx).settings()
    if as_json:
        output.show_json({"path": str(settings.path), "settings": plain(settings)})
    else:
        for line in as_yaml(settings).splitlines():
            output.show(line)


@app.command()
def path(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show where things lie."""
    places = Context.of(ctx).places
    found = {
        "config": str(places.config),
        "env_file": str(places.env_file),
        "database": str(places.database),
        "control_socket": str(places.control_socket),
        "ssh_dir": str(places.ssh_dir),
        "tls_dir": str(places.tls_dir),
        "cache_dir": str(places.cache_dir),
    }
    if as_json:
        output.show_json(found)
    else:
        output.show_facts(found)


@app.command()
def reload(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Have the running daemon take the settings over; bad ones change nothing."""
    answer = {
        key: each for key, each in Context.of(ctx).control().post("/v1/reload").items() if key != "schema"
    }
    if as_json:
        output.show_json(answer)
    else:
        output.show_facts(answer or {"settings": "reloaded"})
    if answer.get("tunnel") in ("opened", "replaced"):
        output.talk("Whether the tunnel is up by now: chatvault tunnel status")
