"""Databases of many rows: one written through the store's own transaction, a larger one copied from it."""

import random
import sqlite3
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from chatvault.core.ledger import CostBasis, LedgerRow, Status
from chatvault.core.ulid import ulid
from chatvault.core.usage import UsageBasis
from chatvault.store.daily_sums import KEYS, SUMS
from chatvault.store.database import open_database
from chatvault.store.rows import LEDGER_COLUMNS
from chatvault.store.transaction import Transaction
from tests.support.ledger import CARD_BODY, CARD_ID

SPAN_MS = 365 * 86_400_000
GROUP = 5000
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

MODELS = (
    *(("ollama", name) for name in ("llama3.2:3b", "qwen3:8b", "gemma3:4b", "mistral:7b")),
    *(("anthropic", name) for name in ("claude-opus-5", "claude-sonnet-5-5", "claude-haiku-5-5")),
    *(("deepseek", name) for name in ("deepseek-chat", "deepseek-reasoner", "deepseek-flash")),
)
CLIENTS = ("openai-python/2.54.0", "Continue/1.2", "curl/8.5")
STATUSES = (Status.OK,) * 95 + (Status.ERROR,) * 2 + (Status.CANCELLED,) * 3
TOKENS = 50
USERS = 8


def ledger_rows(count: int, *, end_ms: int) -> Iterator[LedgerRow]:
    """Make up `count` requests, spread evenly over the year before `end_ms` (epoch ms)."""
    chance = random.Random(1)
    start = end_ms - SPAN_MS
    for number in range(count):
        at = start + number * SPAN_MS // count
        token = chance.randrange(TOKENS)
        # A device uses a few models, not all of them.
        provider, model = MODELS[(token * 3 + chance.randrange(3)) % len(MODELS)]
        is_local = provider == "ollama"
        incoming, outgoing, took = (
            chance.randrange(40, 9000),
            chance.randrange(5, 1200),
            chance.randrange(300, 30_000),
        )
        status = STATUSES[chance.randrange(100)]
        yield LedgerRow(
            id=ulid(at, chance.getrandbits(80)),
            started_at=at,
            finished_at=at + took,
            user_id=f"user{token % USERS}",
            token_id=f"tok_{token:06d}",
            client_ip="192.168.178.34",
            via="tunnel",
            client=CLIENTS[token % len(CLIENTS)],
            endpoint="/v1/chat/completions",
            model_name=f"{provider}/{model}",
            provider=provider,
            upstream_model=model,
            stream=True,
            status=status,
            http_status=200 if status is Status.OK else 499 if status is Status.CANCELLED else 502,
            error_code=None if status is not Status.ERROR else "upstream_error",
            input_tokens=incoming,
            cached_tokens=incoming // 2,
            cache_write_tokens=0,
            output_tokens=outgoing,
            reasoning_tokens=None,
            usage_basis=UsageBasis.PROVIDER,
            cost_picousd=0 if is_local else incoming * 3_000_000 + outgoing * 15_000_000,
            cost_basis=CostBasis.LOCAL if is_local else CostBasis.EXACT,
            rate_card_id=None if is_local else CARD_ID,
            ttft_ms=took // 4,
            duration_ms=took,
            upstream_request_id=None if is_local else f"req_{chance.getrandbits(96):024x}",
        )


def fill(path: Path, count: int) -> float:
    """Make a database of `count` settled requests with their chain and sums; return the seconds it took."""
    end_ms = time.time_ns() // 1_000_000
    started = time.perf_counter()
    connection = open_database(path, now_ms=lambda: end_ms)
    # Nothing would be lost by a power cut here but time.
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(
        "INSERT INTO rate_card(id, source, provider, model, body, recorded_at) VALUES (?,?,?,?,?,?)",
        (CARD_ID, "builtin", "anthropic", "m", CARD_BODY, end_ms),
    )
    rows = ledger_rows(count, end_ms=end_ms)
    while group := list(islice(rows, GROUP)):
        connection.execute("BEGIN IMMEDIATE")
        transaction = Transaction(connection, group[-1].finished_at)
        transaction.settle([(row, ()) for row in group])
        transaction.finish()
        connection.execute("COMMIT")
    end(connection)
    return time.perf_counter() - started


def multiply(source: Path, path: Path, times: int) -> float:
    """Make a database in which every request of `source` stands `times` times; return the seconds it took.

    Its ledger and its sums are those of so many requests; its chain is empty.
    """
    if not 1 <= times <= len(ALPHABET):
        raise ValueError(f"times: 1 to {len(ALPHABET)}")
    started = time.perf_counter()
    connection = open_database(path, now_ms=lambda: time.time_ns() // 1_000_000)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("ATTACH ? AS small", (str(source),))
    name, guard = connection.execute(
        "SELECT name, sql FROM main.sqlite_master"
        " WHERE type = 'trigger' AND tbl_name = 'ledger' AND sql LIKE '%BEFORE INSERT%'"
    ).fetchone()
    # The guard looks every id up: ten million look-ups that say nothing here.
    connection.execute(f"DROP TRIGGER main.{name}")
    copies = ",".join(f"('{char}')" for char in ALPHABET[:times])
    others = ",".join(f"row.{column}" for column in LEDGER_COLUMNS if column != "id")
    # An id's first ten characters are its time. The eleventh tells the copies apart, so ids stay in order.
    connection.execute(
        "INSERT INTO main.ledger"
        f" SELECT substr(row.id, 1, 10) || copy.column1 || substr(row.id, 12), {others}"
        f" FROM small.ledger AS row CROSS JOIN (VALUES {copies}) AS copy"
    )
    sums = ",".join(f"{column} * {times}" for column in SUMS)
    connection.execute(f"INSERT INTO main.usage_day SELECT {','.join(KEYS)},{sums} FROM small.usage_day")
    connection.execute(guard)
    connection.execute("DETACH small")
    end(connection)
    return time.perf_counter() - started


def end(connection: sqlite3.Connection) -> None:
    """Move all of it into the database's own file, and close it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
