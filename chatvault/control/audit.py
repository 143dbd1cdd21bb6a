"""What the daemon answers about the audit chain over the control socket, and the command line shows."""

from pathlib import Path

from chatvault.core.checkpoint import Checkpoint
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError


def checkpoint_json(checkpoint: Checkpoint | None) -> JsonObject:
    """Return a checkpoint as JSON. Raises ChatVaultError for None: an empty chain."""
    if checkpoint is None:
        raise ChatVaultError("the audit chain is empty: there is nothing to sign", hint="chatvault serve")
    return {
        "seq": checkpoint.seq,
        "head": checkpoint.statement.hash.hex(),
        "time_ms": checkpoint.statement.ts_ms,
        "signer": checkpoint.statement.signer,
        "line": checkpoint.line(),
    }


def pruned_json(archive: Path, signature: Path, entries: tuple[int, int]) -> JsonObject:
    """Return as JSON where the entries went, by their first and last number."""
    first, last = entries
    return {"archive": str(archive), "signature": str(signature), "first": first, "last": last}
