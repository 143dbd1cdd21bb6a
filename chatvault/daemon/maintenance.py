"""What the daemon does every minute, whatever else happens."""

import asyncio

from chatvault.errors import StoreError
from chatvault.store import tokens
from chatvault.store.writer import Store

_EVERY_SECONDS = 60.0
_LOOK_SECONDS = 1.0


async def keep_up(store: Store) -> None:
    """Do the upkeep for as long as the daemon runs: write down which access tokens have expired.

    Any commit also brings a checkpoint that has fallen due, and finds out whether a full disk has room again.
    """
    while True:
        try:
            await store.submit(tokens.note_expired)
        except StoreError:
            # The writer has said so, and goes on trying; so does this, a minute later.
            pass
        await asyncio.sleep(_EVERY_SECONDS)


async def watch_writer(store: Store) -> None:
    """Raise StoreError when the writer's thread has ended: a daemon that can't write may not serve."""
    while store.is_alive:
        await asyncio.sleep(_LOOK_SECONDS)
    raise StoreError(store.problem or "the database writer has ended")
