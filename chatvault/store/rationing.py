"""What may still be written while the disk is full: settlements of requests that were let in, nothing else.

Refusals wait in memory until there is room again: a client that keeps asking must not use the reserve up. Nor
must it use up the memory: beyond a number they are only counted, and an entry of the chain says how many.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from chatvault.core.ledger import Status
from chatvault.store.reserve import Reserve
from chatvault.store.transaction import Transaction
from chatvault.store.waiting import Change, Groupable, NewCard, Settlement, Stop

MOST_REFUSALS_KEPT = 20_000

Item: TypeAlias = Groupable | Change[object] | Stop


class Rations(NamedTuple):
    """Items by what becomes of them: written now, kept for later, told that there is no room."""

    now: list[Item]
    later: list[Groupable]
    turned_away: list[Item]


class Rationing:
    """Watch over a reserve; without one, nothing is ever rationed. Used by the writer's thread alone."""

    def __init__(self, reserve: Reserve | None) -> None:
        self._reserve = reserve
        self._dropped = 0

    @property
    def is_spent(self) -> bool:
        """Whether the reserve was given up and could not be laid down again yet."""
        return self._reserve is not None and self._reserve.is_spent

    def is_short(self) -> bool:
        """Whether there is too little room, after another look at the disk."""
        return self._reserve is not None and not self._reserve.fill()

    def give_up(self) -> bool:
        """Give the reserve up for what runs; whether there was one to give."""
        if self._reserve is None or self._reserve.is_spent:
            return False
        self._reserve.release()
        return True

    def divide(self, items: Sequence[Item]) -> Rations:
        """Say what becomes of `items` while room is short."""
        rations = Rations([], [], [])
        for item in items:
            if isinstance(item, Stop | NewCard):
                rations.now.append(item)
            elif not isinstance(item, Settlement):
                rations.turned_away.append(item)
            elif item.row.status is not Status.REFUSED:
                rations.now.append(item)
            elif len(rations.later) < MOST_REFUSALS_KEPT:
                rations.later.append(item)
            else:
                self._dropped += 1
        return rations

    def confess(self, tx: Transaction) -> None:
        """Write down how many refusals a full disk has cost, once it is no longer full."""
        if self._dropped and not self.is_spent:
            tx.append("refusals.dropped", {"count": self._dropped})
            tx.when_committed(self._forget)

    def _forget(self) -> None:
        self._dropped = 0
