"""The writer's thread: whatever waits while one commit runs goes into the next, all of it in one transaction.

So a lone request waits for one commit, and sixty-four at once share one. What fails is sorted by whose fault
it is (`faults`): a row that can't be written is found by halving its group, and only it is turned away; when
the surroundings fail (a full disk, another program's lock), whoever waits is told so at once, while
settlements stay here and are tried again until they are down.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence

from chatvault.errors import StoreError
from chatvault.store import faults
from chatvault.store.checkpoints import Sealer
from chatvault.store.entries import Head
from chatvault.store.group import Group
from chatvault.store.rationing import Item, Rationing
from chatvault.store.reserve import Reserve
from chatvault.store.transactions import Transactions
from chatvault.store.waiting import (
    Change,
    Groupable,
    Mark,
    NewCard,
    NewHold,
    Record,
    Settlement,
    Stop,
    tell,
)

_MOST_IN_A_GROUP = 1024
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0
# Retries are then 1.6 s apart: on a full disk there is nothing to hurry for.
_FAILURES_WHEN_SHORT = 5
_COMPANY_SECONDS = 0.005
_UNAWAITED = (Settlement, NewCard)

_log = logging.getLogger(__name__)


class GroupCommit:
    """Own the writing connection, and the one thread that uses it."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        now_ms: Callable[[], int],
        *,
        sealer: Sealer | None = None,
        reserve: Reserve | None = None,
        doubt: str | None = None,
    ) -> None:
        self._transactions = Transactions(connection, now_ms, sealer=sealer, doubt=doubt)
        self._rationing = Rationing(reserve)
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._kept: list[Groupable] = []
        self._in_hand: list[Item] = []
        self._unwritten = 0
        self._failures = 0
        self._stop: Stop | None = None
        self._group = Group()
        self._has_ended = False
        self.problem: str | None = None
        self.is_full = self._rationing.is_short()
        self.defects = 0
        self._thread = threading.Thread(target=self._run, name="chatvault-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread still writes."""
        return self._thread.is_alive() and not self._has_ended

    @property
    def head(self) -> Head:
        """The audit chain's end after the last commit."""
        return self._transactions.head

    @property
    def doubt(self) -> str | None:
        """Why the audit chain isn't signed any more, None where it is."""
        return self._transactions.doubt

    @property
    def queue_length(self) -> int:
        """How many things wait to be written, those that were tried and failed included."""
        return self._queue.qsize() + self._unwritten

    def put(self, item: Item) -> None:
        """Queue `item`. Raises StoreError when the thread has ended."""
        self._check_running()
        self._queue.put(item)
        if self._has_ended:
            # It ended in between: nobody else will look into the queue any more.
            self._turn_all_away()

    def _check_running(self) -> None:
        if self._has_ended:
            raise self._ended_error()

    def stop(self, timeout: float) -> None:
        """Write what is queued, for at most about `timeout` seconds, and end the thread."""
        if self.is_alive:
            self._queue.put(Stop(time.monotonic() + timeout))
            self._thread.join()

    def _run(self) -> None:
        try:
            while self._stop is None or self._kept:
                self._in_hand = self._gather()
                self._unwritten = len(self._in_hand)
                self._serve(self._in_hand)
                self._in_hand = []
                if self._stop is not None and self._kept and time.monotonic() > self._stop.deadline:
                    _log.critical(
                        "%d entries could not be written before the end; requests among them will be settled "
                        "as interrupted at the next start",
                        len(self._kept),
                    )
                    break
        except BaseException as error:
            # A defect of ours. The thread must not vanish while requests wait for it.
            self._fail(error)
        finally:
            self._has_ended = True
            self._turn_all_away()

    def _fail(self, error: BaseException) -> None:
        _log.critical("the database writer failed", exc_info=error)
        self.problem = "the database writer failed: see the log"

    def _gather(self) -> list[Item]:
        items: list[Item] = [*self._kept]
        timeout = self._retry_seconds() if items else None
        self._kept = []
        try:
            if self._stop is None or timeout is not None:
                items.append(self._queue.get(timeout=timeout))
            if items:
                self._await_company(items)
            while len(items) < _MOST_IN_A_GROUP:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return items

    def _await_company(self, items: list[Item]) -> None:
        """Hold back what nobody waits for a moment: the next hold takes it along in its own commit.

        Written at once, a settlement's commit would stand in the way of the hold that follows it.
        """
        deadline = time.monotonic() + _COMPANY_SECONDS
        while len(items) < _MOST_IN_A_GROUP and isinstance(items[-1], _UNAWAITED):
            items.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))

    def _retry_seconds(self) -> float:
        return min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * float(1 << min(self._failures, 10)))

    def _serve(self, items: Sequence[Item]) -> None:
        is_short = self._rationing.is_short()
        if is_short:
            items = self._ration(items)
        group: list[Groupable] = []
        for item in items:
            if isinstance(item, Change):
                self._commit(group)
                group = []
                self._change(item)
            elif isinstance(item, Stop):
                self._stop = item
                self._unwritten -= 1
            else:
                group.append(item)
        self._commit(group)
        if is_short and self._kept:
            self._failures = max(self._failures, _FAILURES_WHEN_SHORT)

    def _ration(self, items: Sequence[Item]) -> list[Item]:
        """Return what may still be written on a full disk; see to the rest."""
        now, later, turned_away = self._rationing.divide(items)
        self._kept += later
        self._unwritten = len(now) + len(later)
        for item in turned_away:
            if isinstance(item, Change):
                item.fail(faults.storage_full())
            elif not isinstance(item, Stop):
                tell([item], faults.storage_full)
        return now

    def _commit(self, items: Sequence[Groupable]) -> None:
        if not items:
            return
        try:
            self._write(items)
        except faults.POISON as error:
            self._transactions.roll_back()
            if len(items) == 1:
                self._turn_away(items[0], error)
            else:
                half = len(items) // 2
                self._commit(items[:half])
                self._commit(items[half:])
        except sqlite3.Error as error:
            self._transactions.roll_back()
            self._postpone(items, error)
        else:
            self._is_well()
            self._unwritten -= len(items)
            tell(items)

    def _write(self, items: Sequence[Groupable]) -> None:
        tx = self._transactions.begin(is_durable=any(item.is_durable for item in items))
        without_hold = self._group.write(tx, items)
        self._rationing.confess(tx)
        self._transactions.commit(tx)
        self._group.committed()
        if without_hold:
            self.defects += without_hold
            _log.error("%d settled requests had no hold", without_hold)

    def _change(self, change: Change[object]) -> None:
        try:
            tx = self._transactions.begin(is_durable=change.is_durable)
            change.apply(tx)
            self._transactions.commit(tx)
        except BaseException as error:
            # As in any future, whoever asked for the change gets its error, whatever it is.
            self._transactions.roll_back()
            self._unwritten -= 1
            change.fail(self._told(error))
        else:
            self._is_well()
            self._unwritten -= 1
            change.succeed()

    def _is_well(self) -> None:
        self._failures = 0
        self.is_full = self._rationing.is_spent
        self.problem = faults.storage_full().message if self.is_full else None

    def _told(self, error: BaseException) -> BaseException:
        cause = faults.sqlite_cause(error)
        if cause is None or isinstance(cause, faults.POISON):
            return error
        self._note(cause)
        return faults.store_error(cause)

    def _note(self, error: BaseException) -> None:
        self.is_full = faults.is_full(error)
        if self.is_full and self._rationing.give_up():
            _log.error("the disk is full: nothing new is taken on, what runs is settled into the reserve")
            self._failures = 0
        self.problem = faults.store_error(error).message

    def _postpone(self, items: Sequence[Groupable], error: sqlite3.Error) -> None:
        if self._failures == 0:
            _log.error("%s", faults.store_error(error).message)
        self._failures += 1
        self._note(error)
        kept = [item for item in items if isinstance(item, Settlement | NewCard | Mark)]
        self._kept += kept
        self._unwritten -= len(items) - len(kept)
        turned_away = [item for item in items if isinstance(item, NewHold | Record)]
        tell(turned_away, lambda: faults.store_error(error))

    def _turn_away(self, item: Groupable, error: BaseException) -> None:
        """Give up one thing that can never be written as it is; the rest of its group goes on."""
        self.defects += 1
        self._unwritten -= 1
        if isinstance(item, Settlement):
            what = (
                "was settled already"
                if self._transactions.is_settled(item.row.id)
                else f"can't be settled: {error!r}"
            )
            _log.error("request %s %s; a ledger row was turned away", item.row.id, what)
        elif isinstance(item, NewCard):
            _log.error("a rate card was turned away: %r", error)
        tell([item], lambda: StoreError(f"this can't be written: {error}"))

    def _ended_error(self) -> StoreError:
        return StoreError(self.problem or "the database is closed", hint="chatvault serve")

    def _turn_all_away(self) -> None:
        left: list[Item] = [*self._kept, *self._in_hand]
        self._kept, self._in_hand = [], []
        try:
            while True:
                left.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        for item in left:
            if isinstance(item, Change):
                item.fail(self._ended_error())
        tell([item for item in left if not isinstance(item, Change | Stop)], self._ended_error)
