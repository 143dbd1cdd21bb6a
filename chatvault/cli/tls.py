"""`chatvault tls`: certificates for HTTPS."""

from pathlib import Path
from typing import Annotated

import typer

from chatvault.cli import output
from chatvault.cli.app import new_app
from chatvault.cli.context import Context

app = new_app("HTTPS: make certificates.", is_group=True)


@app.command("self-signed")
def self_signed(
    ctx: typer.Context,
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A name or address devices use; may be given several times."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write, if not beside the keys.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a private authority, once, and a certificate under it for the addresses devices use.

    The names in the settings (public_url, tunnel.host) and loopback are always in it.
    """
    from chatvault.cli import tls_desk

    made = tls_desk.make(Context.of(ctx), names=tuple(name or ()), out=out)
    if as_json:
        output.show_json(made.as_json())
        return
    output.show(f"Certificate  {made.cert}  (for {', '.join(made.names)}; until {made.not_after:%Y-%m-%d})")
    output.show(f"Its key      {made.key}")
    output.show(f"Authority    {made.ca}  ({'new' if made.is_new_ca else 'the one from before'})")
    output.show(f"SHA-256      {made.fingerprint}")
    output.talk()
    output.talk("In config.yaml:")
    output.talk("  server:")
    output.talk(f"    tls: {{cert: {made.cert}, key: {made.key}}}")
    output.talk()
    output.talk(f"On each device: install {made.ca.name}, and compare the fingerprint before you trust it.")
    output.talk("  iPhone   send it by AirDrop or mail; Settings > Profile Downloaded > Install; then")
    output.talk("           Settings > General > About > Certificate Trust Settings > turn it on")
    output.talk("  Android  Settings > Security > Encryption & credentials > Install a certificate > CA")
    output.talk(f"  curl     curl --cacert {made.ca} …      Python  SSL_CERT_FILE={made.ca}")
    output.talk(f"{made.ca_key.name} stays here: whoever has it can pose as any site to those devices.")
