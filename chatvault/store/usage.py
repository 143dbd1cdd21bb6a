"""The usage report: exact to the request, bucketed in the viewer's zone when it is read.

Whole UTC days come from the daily sums, all else from the ledger itself (`report_plan`); adjustments are
added to both. It is read without peewee: `chatvault usage` takes less time in all than importing that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from chatvault.core.ulid import epoch_ms, lowest
from chatvault.errors import UsageError
from chatvault.store import sums
from chatvault.store.reader import Reader
from chatvault.store.report_plan import Piece, local_days, plan
from chatvault.store.rows import Cell
from chatvault.store.sums import Key, Sums, Table

COLUMNS = {
    "model": "model_name",
    "provider": "provider",
    "token": "token_id",
    "user": "user_id",
    "client": "client",
    "status": "status",
}
BUCKETS = ("day", "hour")
DIMENSIONS = (*COLUMNS, *BUCKETS)

# All zones in use are whole quarters of an hour away from UTC.
_SLOT_MS = 900_000
# The year 2100.
_FAR_MS = 4_102_444_800_000

_LEDGER_SUMS = """count(*),
    coalesce(sum(status IN ('error', 'interrupted')), 0), coalesce(sum(status = 'cancelled'), 0),
    coalesce(sum(status = 'interrupted'), 0), coalesce(sum(status = 'refused'), 0),
    coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0),
    coalesce(sum(cost_picousd), 0), count(*) - count(cost_picousd)"""

_DAY_SUMS = """sum(requests),
    sum(requests * (status IN ('error', 'interrupted'))), sum(requests * (status = 'cancelled')),
    sum(requests * (status = 'interrupted')), sum(requests * (status = 'refused')),
    sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(cost_picousd), sum(unpriced_requests)"""

_ADJUSTED = """adjustment JOIN ledger ON ledger.id = adjustment.request_id
    WHERE request_id >= ? AND request_id < ? AND seq =
        (SELECT max(seq) FROM adjustment AS later WHERE later.request_id = adjustment.request_id)"""


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One line of a report: what it is about, in the order of the report's `by`, and its sums.

    A day is a date; an hour is a local time with its offset, so that the two of the night when clocks go back
    differ. A token is named; `token_id` goes with it.
    """

    values: dict[str, str | None]
    sums: Sums
    token_id: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Sums of the requests that started in [since, until), epoch ms."""

    since_ms: int
    until_ms: int
    timezone: str
    by: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    total: Sums


def report(
    reader: Reader,
    *,
    since_ms: int,
    until_ms: int,
    by: Sequence[str],
    timezone: ZoneInfo,
    token: str | None = None,
    model: str | None = None,
) -> Report:
    """Sum up the requests that started in [since, until).

    `by` are names of `DIMENSIONS`; `token` is a name or an id, `model` the name a client sends. Raises
    UsageError for an unknown dimension or token.
    """
    for name in by:
        if name not in DIMENSIONS:
            raise UsageError(f"usage can't be shown by {name!r}", hint=f"choose from {', '.join(DIMENSIONS)}")
    with reader.snapshot():
        query = _Query(reader, tuple(by), timezone, token, model)
        query.sum_up(*_within_the_ledger(reader, since_ms, until_ms))
        names = dict(reader.select("SELECT id, name FROM token").fetchall()) if "token" in by else {}
    table = sums.without_empty(query.table)
    rows = [_row(tuple(by), key, value, names) for key, value in table.items()]
    rows.sort(key=_order)
    return Report(
        since_ms, until_ms, timezone.key, tuple(by), tuple(rows), sums.total(row.sums for row in rows)
    )


class _Query:
    """The queries of one report, and the table they fill."""

    def __init__(
        self, reader: Reader, by: tuple[str, ...], zone: ZoneInfo, token: str | None, model: str | None
    ) -> None:
        self._reader = reader
        self._by = by
        self._zone = zone
        self._columns = [COLUMNS[name] for name in by if name in COLUMNS]
        self._labels: dict[int, Key] = {}
        self._where = ""
        self._values: list[Cell] = []
        if token is not None:
            ids = _token_ids(reader, token)
            self._where += f" AND token_id IN ({','.join('?' * len(ids))})"
            self._values += ids
        if model is not None:
            self._where += " AND model_name = ?"
            self._values.append(model)
        self.table: Table = {}

    def sum_up(self, since_ms: int, until_ms: int) -> None:
        if since_ms >= until_ms:
            return
        if "hour" in self._by:
            self._read_by_slot(since_ms, until_ms)
        else:
            if "day" in self._by:
                pieces = local_days(since_ms, until_ms, self._zone)
            else:
                pieces = [Piece("", since_ms, until_ms)]
            self._read_by_plan(pieces)
        self._adjust(since_ms, until_ms)

    def _read_by_plan(self, pieces: Sequence[Piece]) -> None:
        whole = plan(pieces)
        for days in whole.days:
            for row in self._select(_DAY_SUMS, "usage_day WHERE day >= ? AND day < ?", days.first, days.end):
                self._add(row, (days.bucket,), 1)
        for scan in whole.scans:
            for row in self._select(_LEDGER_SUMS, _span(), *_ids(scan.start_ms, scan.end_ms)):
                if scan.gains is not None:
                    self._add(row, (scan.gains,), 1)
                if scan.loses is not None:
                    self._add(row, (scan.loses,), -1)

    def _read_by_slot(self, since_ms: int, until_ms: int) -> None:
        slot = f"started_at / {_SLOT_MS}"
        for row in self._select(_LEDGER_SUMS, _span(), *_ids(since_ms, until_ms), slot=slot):
            self._add(row[1:], self._label(int(row[0])), 1)

    def _adjust(self, since_ms: int, until_ms: int) -> None:
        if self._reader.select("SELECT 1 FROM adjustment LIMIT 1").fetchone() is None:
            return
        effect = """0, 0, 0, 0, 0, 0, 0, 0,
            coalesce(sum(adjustment.cost_picousd - coalesce(ledger.cost_picousd, 0)), 0),
            -coalesce(sum(ledger.cost_picousd IS NULL), 0)"""
        slot = f"started_at / {_SLOT_MS}"
        for row in self._select(effect, _ADJUSTED, *_ids(since_ms, until_ms), slot=slot):
            self._add(row[1:], self._label(int(row[0])), 1)

    def _select(
        self, wanted: str, source: str, *values: Cell, slot: str | None = None
    ) -> list[tuple[int, ...]]:
        columns = ([slot] if slot else []) + self._columns
        group = f" GROUP BY {','.join(str(at + 1) for at in range(len(columns)))}" if columns else ""
        text = f"SELECT {','.join([*columns, wanted])} FROM {source}{self._where}{group}"
        return [row for row in self._reader.select(text, (*values, *self._values)) if row[-10] is not None]

    def _add(self, row: Sequence[int], buckets: Key, sign: int) -> None:
        count = len(self._columns)
        columns = iter(str(value) if value else None for value in row[:count])
        times = iter(buckets)
        key = tuple(next(times) if name in BUCKETS else next(columns) for name in self._by)
        sums.add(self.table, key, Sums(*row[count:]), sign=sign)

    def _label(self, slot: int) -> Key:
        known = self._labels.get(slot)
        if known is None:
            at = datetime.fromtimestamp(slot * _SLOT_MS / 1000, self._zone)
            labels: dict[str, Callable[[], str]] = {
                "day": lambda: at.date().isoformat(),
                "hour": lambda: at.replace(minute=0).isoformat(timespec="minutes"),
            }
            known = self._labels[slot] = tuple(labels[name]() for name in self._by if name in BUCKETS)
        return known


def _within_the_ledger(reader: Reader, since_ms: int, until_ms: int) -> tuple[int, int]:
    first, last = reader.select(
        "SELECT (SELECT min(id) FROM ledger), (SELECT max(id) FROM ledger)"
    ).fetchone()
    if first is None:
        return 0, 0
    return max(since_ms, _instant(first, 0)), min(until_ms, _instant(last, _FAR_MS) + 1)


def _instant(request_id: str, otherwise: int) -> int:
    try:
        return epoch_ms(request_id)
    except ValueError:
        # A row that somebody put in by hand: `audit verify --full` names it.
        return otherwise


def _span() -> str:
    return "ledger WHERE id >= ? AND id < ?"


def _ids(start_ms: int, end_ms: int) -> tuple[str, str]:
    return lowest(start_ms), lowest(end_ms)


def _token_ids(reader: Reader, token: str) -> list[str]:
    found = reader.select("SELECT id FROM token WHERE id = ? OR name = ?", (token, token)).fetchall()
    if not found:
        raise UsageError(f"there is no access token {token!r}", hint="chatvault tokens list")
    return [str(row[0]) for row in found]


def _row(by: tuple[str, ...], key: Key, value: Sums, names: dict[str, str]) -> ReportRow:
    values = dict(zip(by, key, strict=True))
    token_id = values.get("token")
    if token_id is not None:
        values["token"] = names.get(token_id, token_id)
    return ReportRow(values, value, token_id)


def _order(row: ReportRow) -> tuple[float, int, int, tuple[str, ...]]:
    # An hour sorts by its instant: in the night when clocks go back, 02:00+02:00 comes before 02:00+01:00.
    time = row.values.get("hour") or row.values.get("day")
    at = datetime.fromisoformat(time).timestamp() if time else 0.0
    return at, -row.sums.cost_picousd, -row.sums.requests, tuple(v or "" for v in row.values.values())
