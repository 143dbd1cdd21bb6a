"""What the daemon does every minute, whatever else happens."""

import asyncio

from chatvault.store import tokens
from chatvault.store.writer import Store

_EVERY_SECONDS = 60.0


async def keep_up(store: Store) -> None:
    """Do the upkeep for as long as the daemon runs: write down which access tokens have expired."""
    while True:
        await store.submit(tokens.note_expired)
        await asyncio.sleep(_EVERY_SECONDS)
