"""Changes of the audit chain that the command line asks for: by the daemon, else by this process."""

from chatvault.cli.context import Context
from chatvault.control.audit import checkpoint_json
from chatvault.core.chat import JsonObject
from chatvault.errors import DaemonNotRunning


def checkpoint(context: Context) -> JsonObject:
    """Sign the chain's head, and return the checkpoint as JSON."""
    try:
        return context.control().post("/v1/audit/checkpoint")
    except DaemonNotRunning:
        with context.store() as store:
            return checkpoint_json(store.run(store.checkpoint))
