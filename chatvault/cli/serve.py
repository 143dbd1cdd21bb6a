"""`chatvault serve`: the daemon."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

if TYPE_CHECKING:
    from chatvault.config.settings import Settings
    from chatvault.providers.base import ProviderSettings

app = new_app("Run the gateway until it is told to stop.", is_group=False)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Listen here instead of server.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")
    ] = None,
) -> None:
    """Run the gateway until it is told to stop."""
    from chatvault.cli import first_run
    from chatvault.daemon.run import serve as run

    context = Context.of(ctx)
    context.is_own = True
    if not context.places.config.exists():
        first_run.write_defaults(context)

    def load() -> "Settings[ProviderSettings]":
        settings = context.settings(are_secrets_needed=True)
        server = settings.server
        return replace(
            settings,
            server=replace(
                server,
                host=server.host if host is None else host,
                port=server.port if port is None else port,
            ),
        )

    settings = load()
    first_run.complain_of_open_files(context)
    code = run(settings, context.places, load=load, environ=context.environ, announce=output.talk)
    raise typer.Exit(code)
