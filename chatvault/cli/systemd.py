"""`chatvault systemd`: the service's files, put in place or taken away."""

import os
from pathlib import Path
from typing import Annotated

import typer

from chatvault.cli import output, unit_files, unit_install
from chatvault.cli.app import new_app
from chatvault.cli.context import Context
from chatvault.cli.unit_files import UnitFile
from chatvault.errors import NotPermitted

app = new_app("Run as a service: install, uninstall.", is_group=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ForUser = Annotated[bool, typer.Option("--user", help="In your own systemd manager, without root.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing: show what would be done.")]


@app.command()
def install(
    ctx: typer.Context, user: ForUser = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Put the service's files in place. What is right already is left alone; nothing is started."""
    context = Context.of(ctx)
    program = unit_files.this_program()
    if not user:
        unit_files.check_reach(program)
        _need_root(dry_run)
    files = _files(context, program, is_user=user)
    commands: list[list[str]] = []
    if not user:
        commands += [
            ["systemd-sysusers", str(files[-2].path)],
            ["systemd-tmpfiles", "--create", str(files[-1].path)],
        ]
    commands.append([*_systemctl(user), "daemon-reload"])
    done = unit_install.install(files, commands, is_dry=dry_run)
    _show(done, as_json=as_json, is_dry=dry_run)
    if not as_json and not dry_run:
        for line in _next_steps(context, is_user=user):
            output.talk(line)


@app.command()
def uninstall(
    ctx: typer.Context, user: ForUser = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Stop the service and take its files away. Settings, keys and the database stay."""
    context = Context.of(ctx)
    if not user:
        _need_root(dry_run)
    files = _files(context, Path("chatvault"), is_user=user)
    units = ["chatvault.service"] if user else [*unit_files.STARTED_UNITS, "chatvault-backup.timer"]
    there = [name for name in units if any(file.path.name == name and file.path.exists() for file in files)]
    done = unit_install.uninstall(
        files,
        before=[[*_systemctl(user), "disable", "--now", *there]],
        after=[[*_systemctl(user), "daemon-reload"]],
        is_dry=dry_run,
    )
    _show(done, as_json=as_json, is_dry=dry_run)
    if not as_json and not done:
        output.talk("Nothing to do: the service is not installed")


def _files(context: Context, program: Path, *, is_user: bool) -> tuple[UnitFile, ...]:
    if is_user:
        home = context.environ.get("XDG_CONFIG_HOME") or Path(context.environ.get("HOME", "~"), ".config")
        return unit_files.user_files(program, Path(home).expanduser())
    return unit_files.system_files(program, _addresses(context))


def _addresses(context: Context) -> tuple[str, ...]:
    """Return what systemd is to listen on: the settings' address, or the default one."""
    from chatvault.config.settings import ServerSettings

    server = context.settings().server if context.places.config.exists() else ServerSettings()
    host = {"localhost": "127.0.0.1"}.get(server.host, server.host)
    return (f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}",)


def _systemctl(is_user: bool) -> list[str]:
    return ["systemctl", "--user"] if is_user else ["systemctl"]


def _need_root(is_dry: bool) -> None:
    if not is_dry and os.geteuid() != 0:
        raise NotPermitted("the system's services are root's", hint="use sudo, or --user for one of your own")


def _show(done: tuple[unit_install.Change, ...], *, as_json: bool, is_dry: bool) -> None:
    if as_json:
        changes = [{"what": each.what, "text": each.text} for each in done]
        output.show_json({"dry_run": is_dry, "changes": changes})
        return
    for change in done:
        output.show(change.what)
        for line in (change.text or "").splitlines() if is_dry else ():
            output.show(f"    {line}")


def _next_steps(context: Context, *, is_user: bool) -> list[str]:
    steps = []
    if not context.places.config.exists():
        steps.append(f"Next:  chatvault init{'' if is_user else ' --system'}")
    if is_user:
        steps.append("Next:  systemctl --user enable --now chatvault  (and `loginctl enable-linger`)")
    else:
        steps.append(f"Next:  systemctl enable --now {' '.join(unit_files.STARTED_UNITS)}")
    return steps
