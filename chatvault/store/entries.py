"""Entries of the audit chain as they lie in their table."""

import sqlite3
from typing import NamedTuple

from chatvault.core.chain import GENESIS

SETTLED = "request.settled"
REFUSED = "request.refused"
PRUNED = "audit.pruned"
RESTORED = "backup.restored"
FOREIGN = "audit.foreign"
"""Another program changed the chain's end while the writer ran."""
SIGNED_AT_BIRTH = (PRUNED, RESTORED, FOREIGN)
"""Entries that a signature must cover: the first two are signed in the commit they come in."""
ACCEPTED = "audit.accepted"
"""Somebody with the key has the chain signed again in spite of what was found."""

AUDIT_COLUMNS = ("seq", "ts_ms", "kind", "request_id", "token_id", "body", "hash")


class Entry(NamedTuple):
    """One entry of the audit chain; `body` is the canonical JSON as it was hashed."""

    seq: int
    ts_ms: int
    kind: str
    request_id: str | None
    token_id: str | None
    body: str
    hash: bytes


class Head(NamedTuple):
    """The last entry of the audit chain."""

    seq: int
    hash: bytes


def read_base(connection: sqlite3.Connection) -> Head:
    """Return the last pruned entry, after which the chain begins; number 0 where none was."""
    row = connection.execute("SELECT seq, hash FROM pruned ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, GENESIS)


def read_head(connection: sqlite3.Connection) -> Head:
    """Return the chain's last entry as this connection sees it."""
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else Head(0, GENESIS)
