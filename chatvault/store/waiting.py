"""What waits in the writer's queue, and how each of it is told what became of it."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from chatvault.core.chain import Json
from chatvault.core.ledger import Attempt, LedgerRow
from chatvault.errors import StoreError
from chatvault.store.rows import Cells
from chatvault.store.transaction import Transaction

T = TypeVar("T")
Done: TypeAlias = "asyncio.Future[None]"


@dataclass(slots=True, eq=False)
class NewHold:
    """A hold that somebody waits for before a provider is called."""

    values: Cells
    is_durable: bool
    done: Done


@dataclass(slots=True, eq=False)
class Settlement:
    """A request that has ended. Nobody waits for it, and it is never given up."""

    row: LedgerRow
    attempts: Sequence[Attempt]
    is_durable: bool
    done: None = None


@dataclass(slots=True, eq=False)
class NewCard:
    """A rate card that a hold after it will name."""

    values: Cells
    is_durable: bool = False
    done: None = None


@dataclass(slots=True, eq=False)
class Record:
    """An entry for the audit chain that somebody waits for."""

    kind: str
    body: Mapping[str, Json]
    request_id: str | None
    token_id: str | None
    done: Done
    is_durable: bool = True


@dataclass(slots=True, eq=False)
class Mark:
    """A place in the queue: done when everything before it is committed."""

    done: Done
    is_durable: bool = True


class Change(Generic[T]):
    """A function to be run in a transaction of its own; its result or its error goes to whoever waits."""

    def __init__(self, function: Callable[[Transaction], T], *, is_durable: bool) -> None:
        self._function = function
        self._results: list[T] = []
        self.is_durable = is_durable
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def apply(self, tx: Transaction) -> None:
        """Run the function; nobody hears of the result before `succeed`."""
        self._results.append(self._function(tx))

    def succeed(self) -> None:
        """Hand over the result: it is committed."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(self._results.pop())

    def fail(self, error: BaseException) -> None:
        """Hand over the error: nothing was written."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Stop:
    """The end of the queue; what can't be written by `deadline` (monotonic seconds) is left to recovery."""

    deadline: float


Groupable: TypeAlias = NewHold | Settlement | NewCard | Record | Mark


def tell(items: Sequence[Groupable], make_error: Callable[[], StoreError] | None = None) -> None:
    """Tell everyone who waits for `items`, in one call per event loop, that they are written, or why not."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Done]] = {}
    for item in items:
        done = item.done
        if done is not None:
            loop = done.get_loop()
            if loop in by_loop:
                by_loop[loop].append(done)
            else:
                by_loop[loop] = [done]
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting, make_error)
        except RuntimeError:
            # The loop is closed: whoever waited is gone with it.
            continue


def _resolve(waiting: Sequence[Done], make_error: Callable[[], StoreError] | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if make_error is None:
            done.set_result(None)
        else:
            done.set_exception(make_error())
