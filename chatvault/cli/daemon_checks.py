"""What `doctor` asks the running daemon: whether requests find their way, and whether the books are sound."""

from chatvault.cli.context import Context
from chatvault.core.check import Check
from chatvault.core.json_types import JsonObject
from chatvault.core.text import counted
from chatvault.errors import ChatVaultError, DaemonNotRunning


def check_daemon(context: Context, *, has_echo: bool) -> list[Check]:
    """Ask `echo` through the gateway, and look at what the daemon says of its ledger."""
    from chatvault.cli.echo_check import ask_echo

    control = context.control()
    try:
        probe = control.post("/v1/probe")
        books = check_books(control.get("/v1/status"))
    except DaemonNotRunning as exc:
        return [Check("Gateway", "skip", exc.message, exc.hint)]
    except ChatVaultError as exc:
        return [Check("Gateway", "fail", exc.message, exc.hint)]
    if not has_echo:
        return [
            Check("Gateway", "skip", "there is no provider `echo` to ask", "add `echo: {kind: echo}`"),
            *books,
        ]
    return [ask_echo(str(probe["base_url"]), str(probe["secret"])), *books]


def check_books(status: JsonObject) -> list[Check]:
    """See in the daemon's status whether anything was turned away that should have been written."""
    ledger = status.get("ledger")
    defects = ledger.get("defects") if isinstance(ledger, dict) else None
    if not isinstance(defects, int) or not defects:
        return []
    detail = f"{counted(defects, 'write')} went wrong since the daemon started: the log names each one"
    return [
        Check("Ledger", "fail", detail, "chatvault audit verify --full, and report it with the log's lines")
    ]
