"""A program that writes requests until it is killed, and says of each hold that it returned."""

import asyncio
import os
import sys
import time
from pathlib import Path

from chatvault.core.ulid import ulid
from chatvault.store.writer import Store
from tests.support.ledger import CARD_BODY, CARD_ID, a_hold, a_row


async def _requests(store: Store, worker: int) -> None:
    number = 0
    while True:
        number += 1
        now = time.time_ns() // 1_000_000
        hold = a_hold(at_ms=now, id=ulid(now, int.from_bytes(os.urandom(10))), is_local=worker % 2 == 0)
        await store.hold(hold)
        # Straight to the descriptor: what is said has left the process before anything else happens.
        os.write(1, f"{hold.id}\n".encode())
        if number % 3:
            await asyncio.sleep(0)
        store.settle(a_row(hold), durable=not hold.is_local)


async def _main(path: Path) -> None:
    store = Store.open(path, now_ms=lambda: time.time_ns() // 1_000_000)
    store.remember_rate_card(CARD_ID, CARD_BODY, provider="anthropic", model="claude", source="builtin")
    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(_requests(store, worker))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
