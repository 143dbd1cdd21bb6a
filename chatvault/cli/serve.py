"""`chatvault serve`: the daemon."""

from dataclasses import replace
from typing import Annotated

import typer

from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.cli.foreground import AnySettings, run_daemon
from chatvault.errors import UsageError

app = new_app("Run the gateway until it is told to stop.", is_group=False)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Listen here instead of server.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Listen on this port; 0 takes a free one.")
    ] = None,
    no_tunnel: Annotated[
        bool, typer.Option("--no-tunnel", help="Leave the tunnel down, whatever the settings say.")
    ] = False,
) -> None:
    """Run the gateway until it is told to stop."""
    from chatvault.config.hosts import HOST_HINT, host_problem

    problem = None if host is None else host_problem(host)
    if problem is not None:
        raise UsageError(f"--host: {problem}", hint=HOST_HINT)

    def adapt(settings: AnySettings) -> AnySettings:
        server, tunnel = settings.server, settings.tunnel
        return replace(
            settings,
            server=replace(
                server,
                host=server.host if host is None else host,
                port=server.port if port is None else port,
            ),
            tunnel=replace(tunnel, enabled=tunnel.enabled and not no_tunnel),
        )

    raise typer.Exit(run_daemon(Context.of(ctx), adapt))
