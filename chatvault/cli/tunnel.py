"""`chatvault tunnel`: the reverse tunnel to the relay."""

from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.errors import UsageError

app = new_app("The reverse tunnel to the relay.", is_group=True)

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Destination = Annotated[str, typer.Argument(metavar="USER@HOST", help="As you would give it to ssh.")]


@app.command()
def up(
    ctx: typer.Context,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Run gateway and tunnel here, as `serve` does.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Have the running daemon connect, and wait for the outcome. Exit code 1 where it is not up then."""
    from chatvault.cli import tunnel_desk

    context = Context.of(ctx)
    if foreground:
        raise typer.Exit(tunnel_desk.serve_with_tunnel(context))
    found = context.control().post("/v1/tunnel/up")
    tunnel_desk.show(found, as_json=as_json)
    if found.get("state") != "up":
        raise typer.Exit(1)


@app.command()
def down(ctx: typer.Context, as_json: _Json = False) -> None:
    """Close the tunnel; the gateway's own port goes on."""
    from chatvault.cli import tunnel_desk

    tunnel_desk.show(Context.of(ctx).control().post("/v1/tunnel/down"), as_json=as_json)


@app.command()
def status(ctx: typer.Context, as_json: _Json = False) -> None:
    """Show the tunnel's state, why it is so, and what to do. Exit code 3 where no daemon runs."""
    from chatvault.cli import tunnel_desk

    tunnel_desk.show(Context.of(ctx).control().get("/v1/tunnel/status"), as_json=as_json)


@app.command()
def setup(
    ctx: typer.Context,
    destination: _Destination,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the changes and make none.")] = False,
    print_script: Annotated[
        bool, typer.Option("--print", help="Print the script, to be run on the relay by hand as root.")
    ] = False,
    pin: Annotated[
        str | None,
        typer.Option(metavar="SHA256:…", help="Only pin the relay's host key, if it has this fingerprint."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before the changes are made; needed without a terminal.")
    ] = False,
    new_host_key: Annotated[
        bool, typer.Option("--new-host-key", help="Take another host key than the pinned one.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Set up the relay over your own SSH: a user for the tunnel that can listen on one port, no more.

    What it would change is shown first, and asked about; exit code 2 where there is no one to ask.
    """
    from chatvault.cli import relay_desk

    context = Context.of(ctx)
    if print_script:
        output.show_raw(relay_desk.script(context))
        relay_desk.tell_by_hand(destination)
    elif pin is not None:
        if dry_run:
            raise UsageError("--pin pins, and --dry-run changes nothing", hint="one of the two")
        relay_desk.pin(context, destination, pin, is_replacing=new_host_key)
    else:
        relay_desk.setup(
            context,
            destination,
            is_dry=dry_run,
            is_agreed=yes,
            is_replacing=new_host_key,
            as_json=as_json,
        )


@app.command()
def key(ctx: typer.Context, as_json: _Json = False) -> None:
    """Print the public half of the tunnel's SSH key, making the key if there is none."""
    from chatvault.tunnel import keys

    public = keys.ensure_key(Context.of(ctx).places.ssh_dir)
    if as_json:
        output.show_json({"public_key": public, "fingerprint": keys.fingerprint(public)})
    else:
        output.show(public)
