"""The commands there are: for each its module, imported when it is called, and its sentence of help."""

from typing import NamedTuple

from chatvault import __version__


class Command(NamedTuple):
    """A command's module (it holds a typer app named `app`) and what it does."""

    module: str
    help: str


COMMANDS = {
    "init": Command("chatvault.cli.init", "Set up: find models, ask for keys, write the settings."),
    "serve": Command("chatvault.cli.serve", "Run the gateway."),
    "status": Command("chatvault.cli.status", "Show what the running daemon does."),
    "doctor": Command("chatvault.cli.doctor", "Check everything, and say how to mend what is wrong."),
    "tokens": Command("chatvault.cli.tokens", "Access tokens: add, list, revoke, rotate."),
    "users": Command("chatvault.cli.users", "Who owns access tokens."),
    "usage": Command("chatvault.cli.usage", "Who used what, and what it cost."),
    "audit": Command("chatvault.cli.audit", "The audit chain: verify, sign, export, prune it."),
    "backup": Command("chatvault.cli.backup", "Backups: create, list, verify, restore."),
    "models": Command("chatvault.cli.models", "The models that can be asked, and their prices."),
    "prices": Command("chatvault.cli.prices", "What models cost, and where the price comes from."),
    "tunnel": Command(
        "chatvault.cli.tunnel", "The reverse tunnel to the relay: up, down, status, setup, key."
    ),
    "keys": Command("chatvault.cli.keys", "The providers' keys: set, list."),
    "tls": Command("chatvault.cli.tls", "HTTPS: make certificates."),
    "systemd": Command("chatvault.cli.systemd", "Run as a service: install, uninstall."),
    "completions": Command("chatvault.cli.completions", "Completions for a shell: bash, zsh or fish."),
    "config": Command("chatvault.cli.config", "The settings: check, show, path, reload."),
}

_OPTIONS = (
    ("--config PATH", "Use another settings file."),
    ("--debug", "Show a traceback when something goes wrong."),
    ("--version", "Show the version."),
    ("--help", "Show this message; also after a command."),
)


def overview() -> str:
    """Return what `chatvault --help` prints. It needs nothing that takes time to import."""
    rows = [(name, command.help) for name, command in COMMANDS.items()]
    lines = [
        f"ChatVault {__version__}: one address for all language models, and an exact record of their use.",
        "",
        "Usage: chatvault [--config PATH] [--debug] COMMAND [OPTIONS]",
        "",
        "Commands:",
        *_columns(rows),
        "",
        "Options:",
        *_columns(_OPTIONS),
        "",
        "Start with `chatvault serve`, then `chatvault tokens add NAME`.",
    ]
    return "\n".join(lines)


def _columns(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]
