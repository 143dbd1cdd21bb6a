"""The check of accounts, prices, adjustments and holds against the audit chain, both ways."""

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice

from chatvault.core.chain import Json
from chatvault.store import books
from chatvault.store.books import Columns
from chatvault.store.entries import PRUNED, Head
from chatvault.store.reader import Reader
from chatvault.store.verdict import Findings

_FIGURES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_SOME = "*"  # Entries of older programs don't say which: only not none.
_KINDS = ("cost.adjusted", "price.changed", "daemon.started", PRUNED)
_STALE_HOLDS = """SELECT id FROM hold
    WHERE started_at < min(?, (SELECT ts_ms FROM audit ORDER BY seq DESC LIMIT 1))
        OR id IN (SELECT id FROM ledger) OR ceiling_picousd < 0"""


class BooksCheck:
    """Follow the chain, and compare what comes of it with the rows.

    A chain whose beginning was pruned tells all that there was in the entry that says so: only from there on
    rows are compared.
    """

    def __init__(self, reader: Reader, findings: Findings, base: Head) -> None:
        self._connection = reader.connection
        self._findings = findings
        self._is_complete = base.seq == 0
        self._accounts: dict[str, dict[str, Columns]] = {"token": {}, "user": {}}
        self._last_seq: dict[tuple[str, str], int] = {}
        self._started_ms = 0
        self._adjustments = _Rows(self._connection, books.ADJUSTMENTS)
        self._own_prices = _Rows(self._connection, books.OWN_PRICES)

    def entry(self, seq: int, ts_ms: int, kind: str, body: bytes) -> None:
        """Take an entry that settles no request."""
        # A clock that was set back makes requests look older than the start.
        self._started_ms = min(self._started_ms, ts_ms)
        if kind not in _KINDS and not kind.startswith(("token.", "user.")):
            return
        try:
            told = json.loads(body)
            self._take(seq, ts_ms, kind, told)
        except (ValueError, KeyError, TypeError, AttributeError):
            # Such a body was never written by ChatVault.
            self._findings.add("body", seq=seq)

    def finish(self) -> int:
        """Compare accounts, and see that no row is left over; return how many holds are open."""
        if self._is_complete:
            if (left := next(self._adjustments, None)) is not None:
                self._findings.add("adjustment", request_id=str(left[1]))
            if next(self._own_prices, None) is not None:
                self._findings.add("own_price")
            self._compare("token", books.tokens(self._connection))
            self._compare("user", books.users(self._connection))
        for (request_id,) in self._connection.execute(_STALE_HOLDS, (self._started_ms,)):
            # A start settles all that was open; what is in the ledger isn't open.
            self._findings.add("hold", request_id=request_id)
        return int(self._connection.execute("SELECT count(*) FROM hold").fetchone()[0])

    def _take(self, seq: int, ts_ms: int, kind: str, told: dict[str, Json]) -> None:
        if kind == "daemon.started":
            self._started_ms = ts_ms
        elif kind == PRUNED:
            self._begin_anew(seq, told)
        elif not self._is_complete:
            return
        elif kind == "cost.adjusted":
            wanted = [
                ts_ms,
                *(told[name] for name in ("request_id", "cost_picousd", "rate_card_id", "reason")),
            ]
            if self._adjustments.following() != [*wanted, 1]:
                self._findings.add("adjustment", seq=seq, request_id=str(told["request_id"]))
        elif kind == "price.changed":
            if self._own_prices.following() != _own_price(ts_ms, told):
                self._findings.add("own_price", seq=seq)
        else:
            table, _, what = kind.partition(".")
            name = str(told["token_id" if table == "token" else "user"])
            self._last_seq[table, name] = seq
            known = self._accounts[table]
            if what == "added":
                known[name] = _added_token(told) if table == "token" else _added_user(ts_ms)
            elif table == "user":
                known[name].update({key: value for key, value in told.items() if key != "user"})
            else:
                known[name].update(_changed_token(what, ts_ms, told, before=known[name]))

    def _begin_anew(self, seq: int, told: dict[str, Json]) -> None:
        state = told.get("state")
        if not isinstance(state, dict):
            return
        for table in self._accounts:
            if self._is_complete and _differing(self._accounts[table], state[f"{table}s"]):
                self._findings.add(table, seq=seq)
            self._accounts[table] = state[f"{table}s"]
        if not self._is_complete:
            for rows, kind in ((self._adjustments, "adjustment"), (self._own_prices, "own_price")):
                count, digest = state[f"{kind}s"]
                if books.count_and_digest(islice(rows, count)) != [count, digest]:
                    self._findings.add(kind, seq=seq)
        self._is_complete = True

    def _compare(self, table: str, rows: dict[str, Columns]) -> None:
        for name in _differing(self._accounts[table], rows):
            self._findings.add(table, seq=self._last_seq.get((table, name)), request_id=None)


class _Rows(Iterator[tuple[Json, ...]]):
    """The rows of a table that only grows; one that doesn't fit puts all after it out of step."""

    def __init__(self, connection: sqlite3.Connection, query: str) -> None:
        self._cursor = connection.execute(query)

    def __next__(self) -> tuple[Json, ...]:
        return tuple(next(self._cursor))

    def following(self) -> list[Json]:
        """Return the next row; nothing after the last one."""
        return list(next(self, ()))


def _differing(told: dict[str, Columns], rows: dict[str, Columns]) -> list[str]:
    """Return the names under which not both have the same; what is not told of a row can be anything."""
    return [
        name
        for name in sorted(told.keys() | rows.keys())
        if name not in told
        or name not in rows
        or any(key in rows[name] and _is_other(rows[name][key], value) for key, value in told[name].items())
    ]


def _is_other(found: Json, told: Json) -> bool:
    return found is None if told == _SOME else found != told


def _own_price(ts_ms: int, told: dict[str, Json]) -> list[Json]:
    prices = told["picousd_per_token"]
    figures = [prices[name] if isinstance(prices, dict) else None for name in _FIGURES]
    return [ts_ms, told["model"], *figures, told.get("from_ms"), told.get("until_ms"), told.get("note", "")]


def _added_user(ts_ms: int) -> Columns:
    return {**dict.fromkeys(books.USER_COLUMNS), "created_at": ts_ms}


def _added_token(told: dict[str, Json]) -> Columns:
    # When it was last used is written down beside the requests, not in the chain.
    columns = {name: value for name, value in told.items() if name not in ("token_id", "last_used_at")}
    return {**columns, "is_expiry_noted": False, "previous_until": None, "previous_mark": None}


def _changed_token(what: str, ts_ms: int, told: dict[str, Json], *, before: Columns) -> Columns:
    if what == "revoked":
        return {"revoked_at": told.get("revoked_at", _SOME), "previous_until": None, "previous_mark": None}
    if what == "expired":
        return {"is_expiry_noted": True}
    grace = told["grace_until"]
    has_grace = isinstance(grace, int) and grace > ts_ms
    return {
        "last_four": told["last_four"],
        "secret_mark": told.get("secret_mark", _SOME),
        "previous_until": grace if has_grace else None,
        "previous_mark": before.get("secret_mark", _SOME) if has_grace else None,
    }
