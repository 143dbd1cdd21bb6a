"""The store: the one door through which anything is written."""

import asyncio
import concurrent.futures
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

from chatvault.core.chain import Json
from chatvault.core.checkpoint import Checkpoint
from chatvault.core.ledger import Attempt, Hold, LedgerRow
from chatvault.errors import StoreError
from chatvault.store import content, faults, request_ids
from chatvault.store.checkpoints import Sealer, seal
from chatvault.store.content import Sealed
from chatvault.store.database import open_database
from chatvault.store.entries import ACCEPTED, Head
from chatvault.store.group_commit import GroupCommit
from chatvault.store.recovery import settle_open_holds
from chatvault.store.reserve import Reserve
from chatvault.store.rows import hold_values
from chatvault.store.signing import Signer
from chatvault.store.tail import doubt_about
from chatvault.store.transaction import Transaction
from chatvault.store.waiting import Change, Mark, NewCard, NewHold, Record, Settlement

T = TypeVar("T")

_log = logging.getLogger("chatvault.audit")


class Store:
    """Write to the database, from the event loop or from a command.

    Whoever opens a store holds the state directory's lock: there is one writer.
    """

    def __init__(
        self,
        writer: GroupCommit,
        recovered: tuple[LedgerRow, ...],
        *,
        close: Callable[[], None],
        signer: Signer | None,
        sealer: Sealer | None,
    ) -> None:
        self._writer = writer
        self._close = close
        self._signer = signer
        self._sealer = sealer
        self._cards: set[str] = set()
        self.recovered = recovered

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        now_ms: Callable[[], int],
        signer: Signer | None = None,
        has_reserve: bool = False,
        is_restored: bool = False,
        accepts_doubt: bool = False,
    ) -> "Store":
        """Open the database at `path`, making or migrating it, and settle what a crash left open.

        `now_ms` is the wall clock; with a `signer` the chain gets its checkpoints; with a reserve room is
        kept free to settle what runs when the disk fills up. Before anything is signed the chain's end is
        read: `is_restored` says that it is a backup's, `accepts_doubt` that it is signed whatever it is like,
        and an entry says so. Raises DatabaseTooNew, DatabaseDamaged,
        StorageFull or StoreError.
        """
        connection = open_database(path, now_ms=now_ms)
        try:
            doubt = None if signer is None else _doubt(connection, signer, is_restored=is_restored)
            recovered = settle_open_holds(connection, now_ms())
            sealer = Sealer(signer, connection) if signer is not None else None
            reserve = Reserve(path.with_name(f"{path.name}.reserve")) if has_reserve else None
            writer = GroupCommit(
                connection, now_ms, sealer=sealer, reserve=reserve, doubt=None if accepts_doubt else doubt
            )
        except BaseException:
            connection.close()
            raise
        writer.start()
        if doubt is not None and accepts_doubt:
            accepted: Change[object] = Change(
                lambda tx: tx.append(ACCEPTED, {"doubt": doubt}), is_durable=True
            )
            writer.put(accepted)

        def closing() -> None:
            connection.close()
            if reserve is not None:
                reserve.remove()

        return cls(writer, recovered, close=closing, signer=signer, sealer=sealer)

    async def hold(self, hold: Hold) -> None:
        """Write down that `hold` is about to be sent on; return when that is committed.

        The commit survives a power cut unless the hold is local. A caller that is cancelled while it waits
        must settle the request all the same: the hold may be written. Raises StorageFull, StoreError, or
        ValueError for an id that isn't a ULID of `started_at`.
        """
        request_ids.check(hold.id, hold.started_at)
        done = asyncio.get_running_loop().create_future()
        self._writer.put(NewHold(hold_values(hold), not hold.is_local, done))
        await done

    def settle(self, row: LedgerRow, *, attempts: Sequence[Attempt] = (), durable: bool) -> None:
        """Queue `row` to replace its hold; never blocks, and is never given up.

        A second settlement of one request is a defect: it is logged and changes nothing. Raises ValueError
        for an id that isn't a ULID of `started_at`, StoreError after the end.
        """
        request_ids.check(row.id, row.started_at)
        self._writer.put(Settlement(row, attempts, durable))

    async def record(
        self,
        kind: str,
        body: Mapping[str, Json],
        *,
        request_id: str | None = None,
        token_id: str | None = None,
    ) -> None:
        """Append an entry to the audit chain; return when it is committed.

        Raises StorageFull or StoreError.
        """
        done = asyncio.get_running_loop().create_future()
        self._writer.put(Record(kind, body, request_id, token_id, done))
        await done

    def keep(self, sealed: Sealed) -> None:
        """Keep a request's content, encrypted as it is; never blocks, and no request fails for it."""
        self._queue(lambda tx: content.put(tx, sealed), False)

    def remember_rate_card(
        self, card_id: str, canonical_json: str, *, provider: str, model: str, source: str
    ) -> None:
        """Keep the rate card behind a cost, once; to be called before the hold that names it."""
        if card_id not in self._cards:
            self._writer.put(NewCard((card_id, source, provider, model, canonical_json)))
            self._cards.add(card_id)

    def checkpoint(self, tx: Transaction) -> Checkpoint | None:
        """Sign the chain's head: a change for `submit` or `run`.

        None for an empty chain, or a store without a signer. Raises StoreError, also for a chain that there
        is a doubt about.
        """
        if self.doubt is not None:
            raise StoreError(
                f"no checkpoint is signed: {self.doubt}",
                hint="journalctl -u chatvault | chatvault audit verify --full --against -",
            )
        signer, sealer = self._signer, self._sealer
        found = seal(tx, signer) if signer is not None else None
        if found is not None and sealer is not None:
            tx.when_committed(lambda: sealer.note(found))
        return found

    async def submit(self, change: Callable[[Transaction], T], *, durable: bool = True) -> T:
        """Run `change` in a transaction of its own and return its result once that is committed.

        Whatever `change` raises undoes it and is raised here.
        """
        return await asyncio.wrap_future(self._queue(change, durable))

    def run(self, change: Callable[[Transaction], T]) -> T:
        """Do what `submit` does, and block: for the command line."""
        return self._queue(change, True).result()

    def _queue(self, change: Callable[[Transaction], T], is_durable: bool) -> "concurrent.futures.Future[T]":
        queued = Change(change, is_durable=is_durable)
        self._writer.put(cast(Change[object], queued))
        return queued.future

    async def flush(self) -> None:
        """Return when everything queued so far is committed."""
        done = asyncio.get_running_loop().create_future()
        self._writer.put(Mark(done))
        await done

    def close(self, timeout: float = 10.0) -> None:
        """Write everything queued, and close the database.

        What can't be written within about `timeout` seconds is left to the next start, which settles it as
        interrupted.
        """
        self._writer.stop(timeout)
        self._close()

    @property
    def head(self) -> Head:
        """The last committed entry of the audit chain."""
        return self._writer.head

    @property
    def queue_length(self) -> int:
        """How many things wait to be written."""
        return self._writer.queue_length

    @property
    def is_full(self) -> bool:
        """Whether the last attempt to write found no room."""
        return self._writer.is_full

    @property
    def problem(self) -> str | None:
        """What keeps the writer from writing, None when it is well."""
        return self._writer.problem

    @property
    def doubt(self) -> str | None:
        """Why the audit chain isn't signed any more, None where it is."""
        return self._writer.doubt

    @property
    def defects(self) -> int:
        """How many things were turned away that ChatVault should never have asked for."""
        return self._writer.defects

    @property
    def is_alive(self) -> bool:
        """Whether the writer's thread runs."""
        return self._writer.is_alive


def _doubt(connection: sqlite3.Connection, signer: Signer, *, is_restored: bool) -> str | None:
    try:
        doubt = doubt_about(connection, signer.folder, is_restored=is_restored)
    except sqlite3.DatabaseError as error:
        raise faults.store_error(error) from error
    if doubt is not None:
        _log.critical("the audit chain's end can't be trusted, so nothing is signed: %s", doubt)
    return doubt
