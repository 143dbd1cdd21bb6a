"""The check of the ledger against the audit chain, both ways, in bounded memory."""

import hashlib
import secrets

import msgspec

from chatvault.core.ulid import lowest
from chatvault.store.daily_sums import DAY_MS, KEYS, SUMS
from chatvault.store.entries import Head
from chatvault.store.pruned_rows import count_and_digest, last_pruned
from chatvault.store.reader import Reader
from chatvault.store.rows import LEDGER_COLUMNS, Cell
from chatvault.store.verdict import Findings

# The row as the canonical JSON that its entry holds, where the request had one attempt. SQLite writes it:
# equal texts spare reading both sides value by value.
_TRUTH = "json(CASE stream WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"
_AS_JSON = ",".join(
    f"'{name}',{_TRUTH if name == 'stream' else f'ledger.{name}'}" for name in sorted(LEDGER_COLUMNS)
)
ENTRIES_WITH_ROWS = f"""SELECT seq, ts_ms, kind, request_id, audit.token_id, CAST(body AS BLOB), hash,
    ledger.rate_card_id, body = json_object({_AS_JSON}) AND audit.token_id = ledger.token_id
    FROM audit LEFT JOIN ledger ON ledger.id = audit.request_id
    WHERE seq > ? ORDER BY seq"""
"""Entries, each with the rate card of the ledger row it settles, and whether its body is that row."""

_ROW = f"SELECT {','.join(LEDGER_COLUMNS)} FROM ledger WHERE id = ?"
_CARD = LEDGER_COLUMNS.index("rate_card_id")
_CARD_ID_CHARS = 16

_Body = msgspec.defstruct("_Body", [(name, str | int | bool | None) for name in LEDGER_COLUMNS], gc=False)
_decode = msgspec.json.Decoder(_Body).decode

_SETTLED = """CREATE TEMP TABLE settled AS SELECT request_id, seq FROM audit
    WHERE kind IN ('request.settled', 'request.refused') AND seq > {base}"""
_TWICE = "SELECT request_id, max(seq) FROM settled GROUP BY request_id HAVING count(*) > 1"
_WITHOUT_ENTRY = "SELECT id FROM ledger WHERE id NOT IN (SELECT request_id FROM settled)"
# By all that the daily sums tell apart, or what one access token has cost could be moved to another. Day by
# day, since an id tells its time: a sort of all rows at once takes twice as long.
_DAYS = "SELECT DISTINCT day FROM usage_day"
_SUMS_OF_ROWS = f"""SELECT started_at / {DAY_MS}, token_id, user_id, model_name, coalesce(provider, ''),
    client, status, count(*), sum(coalesce(input_tokens, 0)), sum(coalesce(cached_tokens, 0)),
    sum(coalesce(output_tokens, 0)), coalesce(sum(cost_picousd), 0), count(*) - count(cost_picousd)
    FROM ledger WHERE id >= ? AND id < ? GROUP BY 2, 3, 4, 5, 6, 7, 1 ORDER BY 2, 3, 4, 5, 6, 7"""
_REQUESTS = len(KEYS)
_SUMS_OF_DAY = f"""SELECT {",".join(KEYS + SUMS)} FROM usage_day WHERE day = ?
    ORDER BY {",".join(KEYS[1:])}"""


class RowCheck:
    """Compare ledger rows with the entries that settle them.

    That each row has exactly one entry is told without remembering ids: both sides add up a number per id
    that depends on a secret of this run, and the sums agree only where the ids do. Only when they don't are
    the ids laid side by side.
    """

    def __init__(self, reader: Reader, findings: Findings, base: Head) -> None:
        self._reader = reader
        self._base = base
        self._findings = findings
        self._salt = secrets.token_bytes(16)
        self._count = 0
        self._sum = 0
        self._cards = self._check_cards()

    def same(self, seq: int, request_id: str | None, card: Cell) -> None:
        """Take an entry whose body is its row, word for word."""
        self._count += 1
        self._sum += hash((self._salt, request_id))
        if card is not None and card not in self._cards:
            self._findings.add("rate_card", seq=seq, request_id=request_id)
            self._cards.add(card)

    def check(self, seq: int, request_id: str | None, body: bytes) -> None:
        """Compare an entry's body with its row, value by value."""
        self._count += 1
        self._sum += hash((self._salt, request_id))
        row = self._reader.select(_ROW, (request_id,)).fetchone()
        if row is None:
            self._findings.add("missing_row", seq=seq, request_id=request_id)
            return
        try:
            columns = msgspec.structs.astuple(_decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._findings.add("body", seq=seq, request_id=request_id)
            return
        if columns != tuple(row):
            self._findings.add("row", seq=seq, request_id=request_id)
        card = row[_CARD]
        if card is not None and card not in self._cards:
            self._findings.add("rate_card", seq=seq, request_id=request_id)
            self._cards.add(card)

    def finish(self) -> None:
        """Check the other way: rows without an entry, and the daily sums."""
        if self._base.seq:
            self._lay_side_by_side()
            self._finish_sums()
            return
        count = total = 0
        salt = self._salt
        for (request_id,) in self._reader.select("SELECT id FROM ledger"):
            count += 1
            total += hash((salt, request_id))
        if (count, total) != (self._count, self._sum):
            self._lay_side_by_side()
        self._finish_sums()

    def _finish_sums(self) -> None:
        if not self._findings.count:
            # Where the ledger itself is wrong, sums that differ tell nothing more.
            self._check_sums()

    def _check_cards(self) -> set[Cell]:
        known: set[Cell] = set()
        for card_id, body in self._reader.select("SELECT id, CAST(body AS BLOB) FROM rate_card"):
            known.add(card_id)
            if hashlib.sha256(body).hexdigest()[:_CARD_ID_CHARS] != card_id:
                self._findings.add("rate_card")
        return known

    def _lay_side_by_side(self) -> None:
        self._reader.select(_SETTLED.format(base=self._base.seq))
        self._reader.select("CREATE INDEX temp.settled_by_request ON settled (request_id)")
        for request_id, seq in self._reader.select(_TWICE):
            self._findings.add("twice", seq=seq, request_id=request_id)
        pruned = last_pruned(self._reader)
        if pruned is not None:
            # Entries that were pruned left their rows: all of them together have to be what they were.
            if count_and_digest(self._reader.connection, "temp.settled") != (
                pruned.row_count,
                pruned.rows_sha256,
            ):
                self._findings.add("pruned")
            return
        for (request_id,) in self._reader.select(_WITHOUT_ENTRY):
            self._findings.add("missing_entry", request_id=request_id)

    def _check_sums(self) -> None:
        summed = 0
        for (day,) in self._reader.select(_DAYS).fetchall():
            told = self._reader.select(_SUMS_OF_DAY, (day,)).fetchall()
            ids = (lowest(day * DAY_MS), lowest((day + 1) * DAY_MS))
            if self._reader.select(_SUMS_OF_ROWS, ids).fetchall() != told:
                self._findings.add("sums")
                return
            summed += sum(row[_REQUESTS] for row in told)
        if (summed,) != self._reader.select("SELECT count(*) FROM ledger").fetchone():
            self._findings.add("sums")
