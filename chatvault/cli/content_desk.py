"""Kept prompts and answers as the command line asks for them: that they were read stands in the chain."""

from chatvault.cli.context import Context
from chatvault.core.json_types import JsonObject
from chatvault.errors import DaemonNotRunning


def read(context: Context, request_id: str) -> JsonObject:
    """Return what is kept of a request: what was sent and what was answered. Raises StoreError."""
    try:
        return context.control().post("/v1/content", {"request_id": request_id})
    except DaemonNotRunning:
        return _read_here(context, request_id)


def _read_here(context: Context, request_id: str) -> JsonObject:
    from chatvault.store import content

    with context.store() as store:
        sealed = store.run(lambda tx: content.read(tx, request_id))
    found = content.ContentVault(context.places.keys_dir).open(sealed)
    return {"request": found.request, "answer": found.answer}
