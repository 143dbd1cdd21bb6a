"""The check of the audit chain, read as a stream from one snapshot.

It tells corruption, edits and lost entries. Whoever can write the file can also write a whole new chain: that
shows only against a head that was kept elsewhere.
"""

import hashlib
import sqlite3
import struct

import msgspec

from chatvault.core.chain import DOMAIN, GENESIS
from chatvault.store.entries import REFUSED, SETTLED
from chatvault.store.migrations import MIGRATIONS
from chatvault.store.reader import Reader
from chatvault.store.verdict import Findings, Verdict
from chatvault.store.verify_rows import ENTRIES_WITH_ROWS, RowCheck

_ENTRIES = """SELECT seq, ts_ms, kind, request_id, token_id, CAST(body AS BLOB), hash
    FROM audit ORDER BY seq"""
_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"

_REQUESTS = (SETTLED, REFUSED)


class _Ids(msgspec.Struct, gc=False):
    id: str | None = None
    request_id: str | None = None
    token_id: str | None = None


_ids_of = msgspec.json.Decoder(_Ids).decode


def verify(reader: Reader, *, full: bool) -> Verdict:
    """Check the chain: hashes, numbers without a gap, the ids beside the bodies, the triggers that guard it.

    `full` also compares each ledger row with its entry, both ways, the rate cards with their ids, and the
    daily sums with the ledger.
    """
    check = _Check()
    try:
        with reader.snapshot():
            _check_triggers(reader, check.findings)
            if full:
                rows = RowCheck(reader, check.findings)
                check.run(reader.select(ENTRIES_WITH_ROWS), rows)
                rows.finish()
            else:
                check.run(reader.select(_ENTRIES), None)
    except sqlite3.DatabaseError:
        check.findings.add("database", seq=check.seq + 1)
    found = check.findings
    return Verdict(not found.count, check.entries, check.head.hex(), found.first_bad, tuple(found.kept))


class _Check:
    """The walk along the chain, and where it stands."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.entries = 0
        self.seq = 0
        self.head = GENESIS

    def run(self, lines: sqlite3.Cursor, rows: RowCheck | None) -> None:
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
            try:
                ids = _ids_of(body)
            except (msgspec.DecodeError, UnicodeDecodeError):
                wrong("body", seq=seq, request_id=request_id)
                continue
            is_request = kind in _REQUESTS
            if (ids.id if is_request else ids.request_id) != request_id or ids.token_id != token_id:
                wrong("columns", seq=seq, request_id=request_id)
            if is_request and rows is not None:
                rows.check(seq, request_id, body, row)


def _check_triggers(reader: Reader, findings: Findings) -> None:
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in MIGRATIONS:
            for statement in migration.statements:
                fresh.execute(statement)
        wanted = fresh.execute(_TRIGGERS).fetchall()
    finally:
        fresh.close()
    if set(wanted) - set(reader.select(_TRIGGERS)):
        findings.add("trigger")
