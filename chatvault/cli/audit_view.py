"""What `audit` shows: the verdict on the chain, and its entries."""

import json
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

from chatvault.cli.context import Context
from chatvault.cli.output import iso, local
from chatvault.core.checkpoint import Checkpoint, read_lines
from chatvault.core.json_types import Json, JsonObject
from chatvault.core.text import counted, shortened
from chatvault.errors import UsageError
from chatvault.store.reader import Entry

_MEANINGS = {
    "hash": "doesn't follow from the entry before it",
    "gap": "is missing",
    "body": "isn't the JSON it should be",
    "columns": "its ids differ from what its body says",
    "row": "its ledger row says something else",
    "missing_row": "its ledger row is gone",
    "missing_entry": "a ledger row has no entry",
    "twice": "settles a request that was settled before",
    "rate_card": "names a rate card that was changed, or is gone",
    "sums": "the daily sums aren't those of the ledger",
    "trigger": "a guard against changes is gone from the database, or somebody put another one in",
    "view": "the view usage_log isn't the one that ChatVault made",
    "index": "an index leaves rows out, or has others than its table",
    "database": "the file can't be read from here on",
    "checkpoint": "its checkpoint is gone, or another one than the chain's",
    "signature": "the signature of its checkpoint is wrong",
    "unknown_signer": "its checkpoint was signed by a key that isn't in keys/allowed_signers",
    "rewritten": "a signed checkpoint says that another entry stood here",
    "cut_off": "a signed checkpoint speaks of this entry, and the chain ends before it",
    "token": "an access token isn't what this entry made it, or has none",
    "user": "a user's limits aren't what this entry made them, or it has none",
    "adjustment": "an adjusted cost without its entry, or an entry without it",
    "own_price": "a price of your own without its entry, or an entry without it",
    "hold": "a hold of a request that can't be running",
    "lost": "a signed checkpoint speaks of this entry; a restore replaced a database it couldn't read",
    "unsealed": "from here on there is no checkpoint",
    "pruned": "what lies before was cut off unsigned, or what is left of it was changed",
    "unsigned": "tells of a pruning or a restore, and no signature covers it",
    "foreign": "here another program changed the chain while the daemon ran",
    "archive": "the archive of the entries up to here is missing, or was changed",
}


def verified(
    context: Context, *, is_full: bool, against: Path | None = None, archives: Path | None = None
) -> JsonObject:
    """Verify the chain and return the verdict as JSON has it.

    `against` is a log with checkpoints in it; `-` is stdin. `archives` is the folder with what was
    pruned. Raises UsageError where it holds none and the
    chain does.
    """
    from chatvault.store.signing import TrustedKeys
    from chatvault.store.verify import verify

    kept = None if against is None else _read_log(against)
    keys = TrustedKeys.read(context.places.keys_dir)
    with context.reader() as reader:
        if kept == [] and reader.select("SELECT 1 FROM checkpoint LIMIT 1").fetchone():
            raise UsageError(
                f"there is no checkpoint in {against}, and the chain has some",
                hint="journalctl -u chatvault | chatvault audit verify --full --against -",
            )
        verdict = verify(reader, full=is_full, keys=keys, against=kept, archives=archives)
    problems: list[Json] = [
        {"kind": each.kind, "seq": each.seq, "request_id": each.request_id} for each in verdict.problems
    ]
    found: dict[str, Json] = {
        "ok": verdict.ok,
        "entries": verdict.entries,
        "head": verdict.head,
        "first_bad": verdict.first_bad,
        "problems": problems,
        "open_holds": verdict.open_holds,
    }
    if verdict.comparison is not None:
        each = verdict.comparison
        found["against"] = {
            "checkpoints": each.read,
            "matched": each.matched,
            "lost_to_restore": list(each.lost_to_restore),
            "restored_at": each.restored_at,
        }
    return found


def _read_log(path: Path) -> list[Checkpoint]:
    try:
        if str(path) == "-":
            return list(read_lines(sys.stdin))
        with path.open(encoding="utf-8", errors="replace") as lines:
            return list(read_lines(lines))
    except OSError as exc:
        raise UsageError(f"{path} can't be read: {exc.strerror}") from exc


def in_words(found: JsonObject) -> list[str]:
    """Return the verdict in lines."""
    read = counted(int(str(found["entries"])), "entry", "entries")
    if found["ok"]:
        lines = [f"The chain is whole: {read}, head {found['head']}"]
    else:
        first = found["first_bad"]
        where = "" if first is None else f"; the first trouble is at entry {first:,}"
        lines = [f"The chain is broken: {read} read{where}"]
    problems = found["problems"]
    for each in problems if isinstance(problems, list) else []:
        request = f", request {each['request_id']}" if each["request_id"] else ""
        at = "" if each["seq"] is None else f"entry {each['seq']}: "
        lines.append(f"  {at}{_MEANINGS.get(str(each['kind']), each['kind'])}{request}")
    if found.get("open_holds"):
        held = counted(int(str(found["open_holds"])), "request")
        lines.append(f"{held} open: what is held for them counts as spent until they end.")
    against = found.get("against")
    if isinstance(against, dict):
        lines += _in_words(against)
    return lines


def _in_words(against: JsonObject) -> list[str]:
    read, fit = counted(int(str(against["checkpoints"])), "checkpoint"), against["matched"]
    lines = [f"{read} kept elsewhere, of which {fit} {'fits' if fit == 1 else 'fit'}."]
    lost = against["lost_to_restore"]
    if isinstance(lost, list) and lost:
        lines.append(
            f"{len(lost)} speak of entries {lost[0]} to {lost[-1]}, which a restored backup took away: entry"
            f" {against['restored_at']} of the chain says so and is signed. The database before the restore"
            " was kept beside this one; it can be verified against the same checkpoints."
        )
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
