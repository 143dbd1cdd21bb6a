"""The writing connection's transactions: how durable each commit is, and where the audit chain goes on.

The chain's end is compared, in each transaction, with the one that the last commit here left: what another
program wrote in between is followed, told of in the chain, and never signed.
"""

import logging
import sqlite3
from collections.abc import Callable

from chatvault.store.checkpoints import Sealer
from chatvault.store.entries import FOREIGN, Head, read_head
from chatvault.store.transaction import Transaction

_log = logging.getLogger(__name__)


class Transactions:
    """Begin and end the transactions of `connection`, one at a time, in one thread.

    `now_ms` is the wall clock; `doubt` is why the chain isn't signed, None where it is.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        now_ms: Callable[[], int],
        *,
        sealer: Sealer | None = None,
        doubt: str | None = None,
    ) -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._sealer = sealer
        self._is_full_sync: bool | None = None
        self._told_foreign: Head | None = None
        self.doubt = doubt
        self.head: Head = read_head(connection)

    def begin(self, *, is_durable: bool) -> Transaction:
        """Begin one; its commit survives a power cut if it `is_durable`. Raises what SQLite raises."""
        if is_durable is not self._is_full_sync:
            self._connection.execute(f"PRAGMA synchronous={'FULL' if is_durable else 'NORMAL'}")
            self._is_full_sync = is_durable
        self._connection.execute("BEGIN IMMEDIATE")
        tx = Transaction(self._connection, self._now_ms())
        if tx.head != self.head:
            self._mistrust(tx)
        return tx

    def commit(self, tx: Transaction) -> None:
        """Write `tx`'s audit entries, with a checkpoint where one is due, and commit all of it."""
        if self._sealer is not None and self.doubt is None:
            self._sealer.before_commit(tx)
        tx.finish()
        self._connection.execute("COMMIT")
        self.head = tx.head
        tx.committed()
        if self._sealer is not None and self._is_full_sync:
            self._sealer.durable()

    def roll_back(self) -> None:
        """Undo what was begun, if anything was."""
        # SQLite rolls back by itself after some errors.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def is_settled(self, request_id: str) -> bool:
        """Whether the request has its ledger row."""
        found = self._connection.execute("SELECT 1 FROM ledger WHERE id = ?", (request_id,)).fetchone()
        return found is not None

    def _mistrust(self, tx: Transaction) -> None:
        """Say, in the log and in the chain, that its end isn't the one that was written here.

        What runs is settled all the same; but nothing is signed any more, or the forger would be believed.
        """
        found = tx.head
        if found != self._told_foreign:
            self._told_foreign = found
            self.doubt = (
                f"another program changed the audit chain: it ended at entry {self.head.seq}"
                f" ({self.head.hash.hex()[:16]}), and now at {found.seq} ({found.hash.hex()[:16]})"
            )
            _log.critical("%s; no checkpoint is signed from now on", self.doubt)
        tx.append(
            FOREIGN,
            {
                "expected_seq": self.head.seq,
                "expected_head": self.head.hash.hex(),
                "found_seq": found.seq,
                "found_head": found.hash.hex(),
            },
        )
