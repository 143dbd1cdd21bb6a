"""Every single change of a sample of the chain is found, and the position named.

All bits of all columns are flipped, each entry is deleted, inserted again and swapped with its neighbour, and
the chain is cut off after each.
"""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatvault.core.checkpoint import Checkpoint, read_lines
from chatvault.store.reader import Reader
from chatvault.store.signing import TrustedKeys
from chatvault.store.verdict import Verdict
from chatvault.store.verify import verify
from tests.store.test_checkpoints import _write
from tests.support.databases import rows_of

_COUNT = 12
_COLUMNS = ("ts_ms", "kind", "request_id", "token_id", "body", "hash")


class Tampered:
    """A database that is changed, looked at and put back, over one connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys = TrustedKeys.read(path.parent / "keys")
        self.connection = sqlite3.connect(path, isolation_level=None)
        for (name,) in self.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            self.connection.execute(f"DROP TRIGGER {name}")

    @contextmanager
    def after(self, *statements: str, values: tuple[object, ...] = ()) -> Iterator[None]:
        self.connection.execute("BEGIN")
        for statement in statements:
            self.connection.execute(statement, values)
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def verdict(self, *, full: bool = False, against: list[Checkpoint] | None = None) -> Verdict:
        found = verify(Reader(_Inside(self.connection)), full=full, keys=self.keys, against=against)
        problems = tuple(each for each in found.problems if each.kind != "trigger")
        return Verdict(not problems, found.entries, found.head, found.first_bad, problems)


class _Inside(sqlite3.Connection):
    """A connection whose reader looks at what is not committed: it begins and ends nothing."""

    def __new__(cls, connection: sqlite3.Connection) -> "_Inside":
        found: _Inside = super().__new__(cls)
        return found

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(":memory:")
        self._inner = connection

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:  # type: ignore[override]
        if sql in ("BEGIN", "ROLLBACK"):
            return self._inner.execute("SELECT 1")
        return self._inner.execute(sql, parameters)  # type: ignore[arg-type]


@pytest.fixture
def sample(tmp_path: Path) -> Iterator[Tampered]:
    path = tmp_path / "chatvault.db"
    _write(path, _COUNT)
    tampered = Tampered(path)
    assert tampered.verdict().ok
    yield tampered
    tampered.connection.close()


def _flips(value: object) -> Iterator[object]:
    """Yield `value` with each of its bits flipped in turn."""
    if isinstance(value, int):
        for bit in range(63):
            yield value ^ (1 << bit)
        return
    data = value.encode() if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
    for at in range(len(data)):
        for bit in range(8):
            yield data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


@pytest.mark.full
@pytest.mark.seconds(900)
def test_every_flipped_bit_is_found_where_it_is(sample: Tampered, is_full: bool) -> None:
    chance = random.Random(5)
    rows = rows_of(sample.path, f"SELECT seq, {','.join(_COLUMNS)} FROM audit ORDER BY seq")
    tried = 0
    for seq, *cells in rows:
        for column, value in zip(_COLUMNS, cells, strict=True):
            if value is None:
                continue
            place = "?" if column in ("ts_ms", "hash") else "CAST(? AS TEXT)"
            for flipped in _flips(value):
                if not is_full and chance.random() > 0.01:
                    continue
                tried += 1
                change = f"UPDATE audit SET {column} = {place} WHERE seq = {seq}"
                with sample.after(change, values=(flipped,)):
                    found = sample.verdict()
                assert not found.ok, (seq, column, flipped)
                # The last entry is a checkpoint's: what it says of the entry before it is wrong as well.
                named = (seq,) if seq <= _COUNT else (seq - 1, seq)
                assert found.first_bad in named, (seq, column, found)
    assert tried > (40_000 if is_full else 300)
    print(f"{tried} bits flipped, all found")


def test_every_deleted_entry_is_missed(sample: Tampered) -> None:
    kept = list(read_lines(line for (line,) in rows_of(sample.path, "SELECT note FROM checkpoint")))
    for seq in range(1, _COUNT + 2):
        with sample.after(f"DELETE FROM audit WHERE seq = {seq}"):
            found = sample.verdict(against=kept)
        assert not found.ok and found.first_bad in (seq, _COUNT), (seq, found)


def test_every_inserted_entry_is_found(sample: Tampered) -> None:
    for seq in range(1, _COUNT + 1):
        shift = f"UPDATE audit SET seq = -(seq + 1) WHERE seq >= {seq}"
        back = "UPDATE audit SET seq = -seq WHERE seq < 0"
        copy = f"INSERT INTO audit SELECT {seq}, ts_ms, kind, request_id, token_id, body, hash FROM audit"
        with sample.after(shift, back, f"{copy} WHERE seq = {seq + 1}"):
            found = sample.verdict()
        assert not found.ok and found.first_bad in (seq, seq + 1), (seq, found)


def test_every_swapped_pair_is_found(sample: Tampered) -> None:
    for seq in range(1, _COUNT):
        statements = (
            f"UPDATE audit SET seq = -1 WHERE seq = {seq}",
            f"UPDATE audit SET seq = {seq} WHERE seq = {seq + 1}",
            f"UPDATE audit SET seq = {seq + 1} WHERE seq = -1",
        )
        with sample.after(*statements):
            found = sample.verdict()
        assert not found.ok and found.first_bad == seq, (seq, found)


def test_every_end_that_was_cut_off_is_found(sample: Tampered) -> None:
    for last in range(_COUNT + 1):
        with sample.after(f"DELETE FROM audit WHERE seq > {last}"):
            found = sample.verdict()
        assert not found.ok and found.first_bad is not None and found.first_bad >= last, (last, found)
