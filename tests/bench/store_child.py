"""The writer under load, for `tests/bench/store.py`.

`python -m tests.bench.store_child PATH COUNT SECONDS [--durable]` prints its figures as one JSON object. It
runs on uvloop, as the daemon does.
"""

import asyncio
import itertools
import json
import secrets
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from chatvault.core.ledger import FREE, Cost, CostBasis, Hold, Status, settled
from chatvault.core.ulid import ulid
from chatvault.core.usage import Usage
from chatvault.store.writer import Store

USAGE = Usage(input_tokens=25, cached_tokens=0, output_tokens=100)
PAID = Cost(1_575_000_000, CostBasis.EXACT, "0123456789abcdef")


@dataclass(slots=True)
class Count:
    """What has been measured so far."""

    holds_ms: list[float] = field(default_factory=list)


def now_ms() -> int:
    """Return the wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


async def work(store: Store, *, until: float, is_durable: bool, count: Count) -> None:
    """Hold and settle, one request after the other."""
    provider = "paid" if is_durable else "home"
    while (started := time.perf_counter()) < until:
        at = now_ms()
        hold = Hold(
            id=ulid(at, secrets.randbits(80)),
            started_at=at,
            user_id="me",
            token_id="tok_bench0",
            client_ip="127.0.0.1",
            via="local",
            client="loadgen/1",
            endpoint="/v1/chat/completions",
            model_name=f"{provider}/mock",
            provider=provider,
            upstream_model="mock",
            stream=False,
            ceiling_picousd=15_000_000_000 if is_durable else 0,
            is_local=not is_durable,
            rate_card_id=PAID.rate_card_id if is_durable else None,
        )
        await store.hold(hold)
        count.holds_ms.append((time.perf_counter() - started) * 1e3)
        row = settled(
            hold,
            finished_at=now_ms(),
            status=Status.OK,
            http_status=200,
            usage=USAGE,
            cost=PAID if is_durable else FREE,
            duration_ms=1,
        )
        store.settle(row, durable=is_durable)


async def measure(path: Path, connections: int, *, seconds: float, is_durable: bool) -> dict[str, float]:
    """Warm the writer up, then measure it."""
    store = Store.open(path, now_ms=now_ms)
    for length in (0.2, seconds):
        count = Count()
        started, cpu = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in itertools.repeat(None, connections):
                group.create_task(work(store, until=started + length, is_durable=is_durable, count=count))
        await store.flush()
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    store.close()
    times = sorted(count.holds_ms)
    return {
        "rate": len(times) / wall,
        "cpu_us": cpu * 1e6 / len(times),
        "hold_p50_ms": times[len(times) // 2],
        "hold_p99_ms": times[int(len(times) * 0.99)],
    }


def main() -> None:
    """Read the command line, measure, print."""
    path, connections, seconds, *rest = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(
            measure(Path(path), int(connections), seconds=float(seconds), is_durable=bool(rest))
        )
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
