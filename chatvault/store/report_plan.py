"""Which sums of a report come from whole UTC days, and which spans of the ledger are read for the rest.

A local day hardly ever is a UTC day, and a report rarely begins at midnight. Where the wanted part of a UTC
day is its larger part, the day's sum is taken and the smaller part, read from the ledger, is subtracted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from chatvault.store.daily_sums import DAY_MS


@dataclass(frozen=True, slots=True)
class Piece:
    """A span of time that is one bucket of a report; epochs in ms, the end excluded."""

    bucket: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Days:
    """Whole UTC days, counted from the epoch, whose sums go to `bucket`; the end excluded."""

    bucket: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A span of the ledger whose rows are added to one bucket, or taken away from another, or both."""

    start_ms: int
    end_ms: int
    gains: str | None
    loses: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to put a report together."""

    days: tuple[Days, ...]
    scans: tuple[Scan, ...]


def local_days(since_ms: int, until_ms: int, zone: ZoneInfo) -> list[Piece]:
    """Cut [since, until) at the midnights of `zone`; a day of 23 or 25 hours is one piece as well."""
    pieces = []
    start = since_ms
    day = datetime.fromtimestamp(since_ms / 1000, zone).date()
    while start < until_ms:
        end = min(_midnight_ms(day + timedelta(days=1), zone), until_ms)
        if start < end:
            pieces.append(Piece(day.isoformat(), start, end))
        start = max(start, end)
        day += timedelta(days=1)
    return pieces


def plan(pieces: Sequence[Piece]) -> Plan:
    """Say how to sum up `pieces`, which lie in the order of time and don't overlap."""
    days: list[Days] = []
    parts: dict[int, list[Piece]] = {}
    for piece in pieces:
        first, end = -(-piece.start_ms // DAY_MS), piece.end_ms // DAY_MS
        if first < end:
            days.append(Days(piece.bucket, first, end))
        for day, start_ms, end_ms in _edges(piece, first, end):
            parts.setdefault(day, []).append(Piece(piece.bucket, start_ms, end_ms))
    scans: list[Scan] = []
    for day, wanted in parts.items():
        unwanted = _holes(day, wanted)
        largest = max(wanted, key=_length)
        if _length(largest) > sum(map(_length, unwanted)):
            days.append(Days(largest.bucket, day, day + 1))
            rest = [piece for piece in wanted if piece is not largest]
            scans += [Scan(piece.start_ms, piece.end_ms, piece.bucket, largest.bucket) for piece in rest]
            scans += [Scan(hole.start_ms, hole.end_ms, None, largest.bucket) for hole in unwanted]
        else:
            scans += [Scan(piece.start_ms, piece.end_ms, piece.bucket) for piece in wanted]
    return Plan(tuple(days), tuple(scans))


def _midnight_ms(day: date, zone: ZoneInfo) -> int:
    # Where clocks skip midnight, this is the moment they do; where they repeat it, the first of the two.
    return int(datetime.combine(day, time(), zone).timestamp() * 1000)


def _edges(piece: Piece, first: int, end: int) -> list[tuple[int, int, int]]:
    """Return the parts of `piece` outside its whole days [first, end), each with the UTC day it lies in."""
    if first > end:
        return [(end, piece.start_ms, piece.end_ms)]
    edges = []
    if piece.start_ms < first * DAY_MS:
        edges.append((first - 1, piece.start_ms, first * DAY_MS))
    if end * DAY_MS < piece.end_ms:
        edges.append((end, end * DAY_MS, piece.end_ms))
    return edges


def _holes(day: int, wanted: Sequence[Piece]) -> list[Piece]:
    holes = []
    at = day * DAY_MS
    for piece in wanted:
        if at < piece.start_ms:
            holes.append(Piece("", at, piece.start_ms))
        at = piece.end_ms
    if at < (day + 1) * DAY_MS:
        holes.append(Piece("", at, (day + 1) * DAY_MS))
    return holes


def _length(piece: Piece) -> int:
    return piece.end_ms - piece.start_ms
