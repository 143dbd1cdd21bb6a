"""What stands in the database beside the ledger, as the audit chain tells of it: accounts and prices.

When the beginning of a chain is pruned, the entry that says so holds all of this: so the rest of the chain
still tells what each row has to be.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from chatvault.core.chain import Json
from chatvault.store.entries import PRUNED, RESTORED

Columns = dict[str, Json]

TOKEN_COLUMNS = (
    *("name", "user", "created_at", "last_four", "models", "is_local_only", "expires_at", "revoked_at"),
    *("budget", "requests_per_minute", "tokens_per_minute", "concurrency", "content", "is_expiry_noted"),
    *("previous_until", "secret_hash", "previous_hash"),
)
USER_COLUMNS = ("created_at", "budget", "requests_per_minute", "tokens_per_minute", "concurrency")

ADJUSTMENTS = """SELECT adjustment.ts_ms, request_id, adjustment.cost_picousd, adjustment.rate_card_id,
    reason, ledger.id IS NOT NULL FROM adjustment LEFT JOIN ledger ON ledger.id = request_id ORDER BY seq"""
OWN_PRICES = """SELECT ts_ms, model, input, output, cache_read, cache_write_5m, cache_write_1h, from_ms,
    until_ms, note FROM own_price ORDER BY seq"""

_RESTORES = "SELECT seq, kind, ts_ms, CAST(body AS BLOB) FROM audit WHERE kind IN (?, ?) ORDER BY seq"


def secret_mark(secret_hash: bytes) -> str:
    """Return what the chain says of a secret: enough to tell another one, and no use at a door."""
    return hashlib.sha256(b"chatvault/token\0" + secret_hash).hexdigest()


def tokens(connection: sqlite3.Connection) -> dict[str, Columns]:
    """Return the columns of each access token by id, as the chain tells them."""
    found: dict[str, Columns] = {}
    for token_id, *cells in connection.execute(f"SELECT id, {','.join(TOKEN_COLUMNS)} FROM token"):
        columns = dict(zip(TOKEN_COLUMNS, cells, strict=True))
        secret, previous = columns.pop("secret_hash"), columns.pop("previous_hash")
        found[token_id] = {
            **columns,
            "models": json.loads(columns["models"]),
            "is_local_only": bool(columns["is_local_only"]),
            "is_expiry_noted": bool(columns["is_expiry_noted"]),
            "secret_mark": secret_mark(secret),
            "previous_mark": None if previous is None else secret_mark(previous),
        }
    return found


def users(connection: sqlite3.Connection) -> dict[str, Columns]:
    """Return the columns of each user by name."""
    rows = connection.execute(f"SELECT name, {','.join(USER_COLUMNS)} FROM user")
    return {name: dict(zip(USER_COLUMNS, cells, strict=True)) for name, *cells in rows}


def state(connection: sqlite3.Connection) -> Columns:
    """Return all of it; of the tables that only grow, how many rows they have and one digest over them."""
    return {
        "tokens": tokens(connection),
        "users": users(connection),
        "adjustments": count_and_digest(connection.execute(ADJUSTMENTS)),
        "own_prices": count_and_digest(connection.execute(OWN_PRICES)),
        "restores": [[*each[:4]] for each in restores(connection)],
    }


class Restore(NamedTuple):
    """A restore of a backup, and the number of the entry that tells of it: its own, or a pruning's."""

    seq: int
    ts_ms: int
    highest_seq: int | None
    replaced_head: str | None
    told_at: int


def restores(connection: sqlite3.Connection) -> list[Restore]:
    """Return the restores that the chain tells of, the first one first."""
    found: dict[int, Restore] = {}
    for seq, kind, ts_ms, body in connection.execute(_RESTORES, (PRUNED, RESTORED)):
        try:
            told = json.loads(body)
            if kind == RESTORED:
                found[seq] = Restore(seq, ts_ms, told.get("highest_seq"), told.get("replaced_head"), seq)
            else:
                for first, at_ms, highest, replaced in told.get("state", {}).get("restores", ()):
                    found.setdefault(first, Restore(first, at_ms, highest, replaced, seq))
        except (ValueError, TypeError, AttributeError, IndexError):
            # `verify` tells of such a body; it excuses nothing.
            continue
    return [found[seq] for seq in sorted(found)]


def count_and_digest(rows: Iterable[tuple[Json, ...]]) -> list[Json]:
    """Return how many rows there are, and their digest in hex."""
    digest = hashlib.sha256()
    count = 0
    for row in rows:
        count += 1
        digest.update(json.dumps(row, separators=(",", ":")).encode() + b"\n")
    return [count, digest.hexdigest()]
