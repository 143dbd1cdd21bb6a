"""What `audit` shows: the verdict on the chain, and its entries."""

import json
from zoneinfo import ZoneInfo

from chatvault.cli.context import Context
from chatvault.cli.output import iso, local
from chatvault.core.chat import Json, JsonObject
from chatvault.core.text import shortened
from chatvault.store.reader import Entry


def verified(context: Context, *, is_full: bool) -> JsonObject:
    """Verify the chain and return the verdict as JSON has it."""
    from chatvault.store.verify import verify

    with context.reader() as reader:
        verdict = verify(reader, full=is_full)
    problems: list[Json] = [
        {"kind": each.kind, "seq": each.seq, "request_id": each.request_id} for each in verdict.problems
    ]
    return {
        "ok": verdict.ok,
        "entries": verdict.entries,
        "head": verdict.head,
        "first_bad": verdict.first_bad,
        "problems": problems,
    }


def in_words(found: JsonObject) -> list[str]:
    """Return the verdict in lines."""
    if found["ok"]:
        return [f"The chain is whole: {found['entries']:,} entries, head {found['head']}"]
    lines = [f"The chain is broken: {found['entries']:,} entries, the first bad one is {found['first_bad']}"]
    problems = found["problems"]
    for each in problems if isinstance(problems, list) else []:
        request = f", request {each['request_id']}" if each["request_id"] else ""
        lines.append(f"  entry {each['seq']}: {each['kind']}{request}")
    return lines


def newest(context: Context, count: int) -> list[Entry]:
    """Return the newest entries, the last one last."""
    with context.reader() as reader:
        return reader.entries(after=max(reader.head().seq - count, 0), count=count)


def to_json(entry: Entry) -> JsonObject:
    """Return an entry as JSON."""
    return {
        "seq": entry.seq,
        "time": iso(entry.ts_ms),
        "kind": entry.kind,
        "request_id": entry.request_id,
        "token_id": entry.token_id,
        "body": json.loads(entry.body),
        "hash": entry.hash.hex(),
    }


def cells(entry: Entry, zone: ZoneInfo) -> tuple[str, ...]:
    """Return an entry as a table's row."""
    about = entry.request_id or entry.token_id or shortened(entry.body, width=60)
    return str(entry.seq), local(entry.ts_ms, zone), entry.kind, about, entry.hash.hex()[:16]
