"""The check of the audit chain, read as a stream from one snapshot.

It tells corruption, edits and lost entries. Whoever can write the file can also write a whole new chain, but
not the signatures of its checkpoints; a chain cut off before its last checkpoints, and written anew from
there, shows only against checkpoints that were kept elsewhere.
"""

import hashlib
import sqlite3
import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from chatvault.core.chain import DOMAIN
from chatvault.core.checkpoint import Checkpoint
from chatvault.store.archives import check_archives
from chatvault.store.checkpoints import KIND
from chatvault.store.entries import REFUSED, SETTLED, SIGNED_AT_BIRTH, Head
from chatvault.store.migrations import MIGRATIONS
from chatvault.store.pruned_rows import check_base
from chatvault.store.reader import Reader
from chatvault.store.signing import TrustedKeys
from chatvault.store.verdict import Comparison, Findings, Verdict
from chatvault.store.verify_books import BooksCheck
from chatvault.store.verify_checkpoints import CheckpointCheck, compare
from chatvault.store.verify_rows import ENTRIES_WITH_ROWS, RowCheck

_ENTRIES = """SELECT seq, ts_ms, kind, request_id, token_id, CAST(body AS BLOB), hash
    FROM audit WHERE seq > ? ORDER BY seq"""
_GUARDS = "SELECT type, name, sql FROM sqlite_master WHERE type = 'trigger' OR name = 'usage_log'"
# What is looked up by an index: one that leaves rows out would hide them from reports and from the door.
_INDEXED = ("adjustment", "own_price", "rate_card", "token", "usage_day", "user")

_REQUESTS = (SETTLED, REFUSED)


class _Ids(msgspec.Struct, gc=False):
    id: str | None = None
    request_id: str | None = None
    token_id: str | None = None


_ids_of = msgspec.json.Decoder(_Ids).decode


def verify(
    reader: Reader,
    *,
    full: bool,
    keys: TrustedKeys | None = None,
    against: Iterable[Checkpoint] | None = None,
    archives: Path | None = None,
) -> Verdict:
    """Check the chain: hashes, numbers without a gap, the ids beside the bodies, the triggers that guard it
    (those, and no others) and the view `usage_log`, and its checkpoints, with `keys` their signatures too.

    `full` also compares each ledger row with its entry, both ways, the rate cards with their ids, the daily
    sums with the ledger; and access tokens, users, own prices and adjustments with what entries say of them.
    `against` are checkpoints that were kept elsewhere, `archives` is the folder with what was pruned.
    """
    findings = Findings()
    check: _Check | None = None
    comparison: Comparison | None = None
    open_holds = 0
    try:
        with reader.snapshot():
            base = reader.base()
            check = _Check(findings, base)
            _check_guards(reader, findings)
            checkpoints = CheckpointCheck(reader, findings, keys=keys, base=base)
            if full:
                _check_indices(reader, findings)
            rows = RowCheck(reader, findings, base) if full else None
            books = BooksCheck(reader, findings, base) if full else None
            entries = reader.select(ENTRIES_WITH_ROWS if full else _ENTRIES, (base.seq,))
            check.run(entries, rows, books, checkpoints)
            check_base(reader, findings)
            checkpoints.finish(check.seq)
            if rows is not None:
                rows.finish()
            if books is not None:
                open_holds = books.finish()
            archived = None if archives is None else check_archives(reader, archives, findings)
            if against is not None:
                comparison = compare(reader, against, keys or TrustedKeys(), findings, archived=archived)
    except sqlite3.DatabaseError:
        findings.add("database", seq=check.seq + 1 if check is not None else 1)
    entries_read, head = (check.entries, check.head) if check is not None else (0, b"")
    return Verdict(
        not findings.count,
        entries_read,
        head.hex(),
        findings.first_bad,
        tuple(findings.kept),
        comparison=comparison,
        open_holds=open_holds,
    )


class _Check:
    """The walk along the chain, and where it stands."""

    def __init__(self, findings: Findings, base: Head) -> None:
        self.findings = findings
        self.entries = 0
        self.seq, self.head = base

    def run(
        self,
        lines: sqlite3.Cursor,
        rows: RowCheck | None,
        books: BooksCheck | None,
        checkpoints: CheckpointCheck,
    ) -> None:
        # Written for speed: ten million entries are read in one go.
        sha256, numbers, kinds = hashlib.sha256, struct.Struct(">qq").pack, dict[str, bytes]()
        wrong = self.findings.add
        last, head = self.seq, self.head
        for seq, ts_ms, kind, request_id, token_id, body, digest, *row in lines:
            self.entries += 1
            end = kinds.get(kind) or kinds.setdefault(kind, kind.encode() + b"\0")
            if seq != last + 1:
                wrong("gap", seq=last + 1)
            elif sha256(DOMAIN + head + numbers(seq, ts_ms) + end + body).digest() != digest:
                wrong("hash", seq=seq, request_id=request_id)
            self.seq = last = seq
            self.head = head = digest
            if row and row[1] and rows is not None and kind in _REQUESTS:
                rows.same(seq, request_id, row[0])
                continue
            try:
                ids = _ids_of(body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                wrong("body", seq=seq, request_id=request_id)
                continue
            is_request = kind in _REQUESTS
            if (ids.id if is_request else ids.request_id) != request_id or ids.token_id != token_id:
                wrong("columns", seq=seq, request_id=request_id)
            if is_request:
                if rows is not None:
                    rows.check(seq, request_id, body)
                continue
            if books is not None:
                books.entry(seq, ts_ms, kind, body)
            if kind == KIND:
                checkpoints.entry(seq, body)
            elif kind in SIGNED_AT_BIRTH:
                checkpoints.signed_at_birth(seq, kind)


def _check_guards(reader: Reader, findings: Findings) -> None:
    """See that the triggers are those there have to be and no others, and the view says what it should."""
    differing = _wanted_guards() ^ set(reader.select(_GUARDS))
    for kind in sorted({str(kind) for kind, _, _ in differing}):
        findings.add("trigger" if kind == "trigger" else "view")


def _check_indices(reader: Reader, findings: Findings) -> None:
    for table in _INDEXED:
        if reader.select(f"PRAGMA integrity_check({table})").fetchone() != ("ok",):
            findings.add("index")


@cache
def _wanted_guards() -> frozenset[tuple[str, str, str]]:
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in MIGRATIONS:
            for statement in migration.statements:
                fresh.execute(statement)
        return frozenset(fresh.execute(_GUARDS).fetchall())
    finally:
        fresh.close()
