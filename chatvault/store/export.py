"""Exports of the audit chain: NDJSON or CSV with everything that its hashes are made of, and a signature.

Each line repeats the hash of the entry before it, so that any stretch of the chain can be checked by itself.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from chatvault.core.chain import GENESIS
from chatvault.core.text import csv_text
from chatvault.errors import StoreError
from chatvault.store import faults
from chatvault.store.entries import Entry
from chatvault.store.private_file import create, ensure_folder, put_in_place, temporary_beside
from chatvault.store.reader import Reader
from chatvault.store.signing import EXPORT_NAMESPACE, Signer

COLUMNS = ("seq", "ts_ms", "kind", "request_id", "token_id", "body", "previous", "hash")

Format = Literal["ndjson", "csv"]
_AT_ONCE = 5000


class Stretch(NamedTuple):
    """Entries of the chain by their numbers, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Export:
    """A file with a stretch of the chain, and the file beside it with its signature."""

    path: Path
    signature: Path
    stretch: Stretch
    sha256: bytes


def stretch_of(reader: Reader, *, since_ms: int | None = None, until_ms: int | None = None) -> Stretch:
    """Return the stretch with every entry from `since_ms` up to, without, `until_ms` (epoch ms).

    Raises StoreError where there is none.
    """
    first, last = reader.select(
        "SELECT min(seq), max(seq) FROM audit WHERE seq > ? AND ts_ms >= ? AND ts_ms < ?",
        (reader.base().seq, since_ms or 0, (1 << 62) if until_ms is None else until_ms),
    ).fetchone()
    if first is None:
        raise StoreError("no entry lies in that span of time", hint="chatvault audit tail")
    return Stretch(int(first), int(last))


def lines(reader: Reader, stretch: Stretch, format: Format) -> Iterator[bytes]:
    """Yield a stretch of the chain line by line; CSV begins with its titles."""
    previous = _hash_before(reader, stretch.first)
    if format == "csv":
        yield _csv_line(COLUMNS)
    after = stretch.first - 1
    while after < stretch.last:
        entries = reader.entries(after=after, count=min(_AT_ONCE, stretch.last - after))
        if not entries:
            return
        for entry in entries:
            yield _csv_line(_cells(entry, previous)) if format == "csv" else _json_line(entry, previous)
            previous = entry.hash
        after = entries[-1].seq


def write(reader: Reader, path: Path, stretch: Stretch, *, signer: Signer, format: Format) -> Export:
    """Write a stretch of the chain to `path`, and sign the file.

    Both files are 0600, and there under their names only when they are complete. Raises StoreError where
    there is one already, StorageFull.
    """
    signature = path.with_name(f"{path.name}.sig")
    for each in (path, signature):
        if each.exists():
            raise StoreError(f"{each} is there already", hint="--out names another file")
    ensure_folder(path.parent)
    temporary, unsigned = temporary_beside(path), temporary_beside(signature)
    try:
        with os.fdopen(create(temporary), "wb") as file, reader.snapshot():
            file.writelines(lines(reader, stretch, format))
        with os.fdopen(create(unsigned), "wb") as file:
            file.write(signer.sign_file(temporary, EXPORT_NAMESPACE).encode())
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        put_in_place(unsigned, signature)
        put_in_place(temporary, path)
    except OSError as error:
        raise faults.os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
        unsigned.unlink(missing_ok=True)
    return Export(path, signature, stretch, digest)


def _hash_before(reader: Reader, seq: int) -> bytes:
    base = reader.base()
    if seq - 1 == base.seq:
        return base.hash
    found = reader.select("SELECT hash FROM audit WHERE seq = ?", (seq - 1,)).fetchone()
    return bytes(found[0]) if found else GENESIS


def _json_line(entry: Entry, previous: bytes) -> bytes:
    value = {**entry._asdict(), "previous": previous.hex(), "hash": entry.hash.hex()}
    return json.dumps({name: value[name] for name in COLUMNS}).encode() + b"\n"


def _cells(entry: Entry, previous: bytes) -> tuple[str, ...]:
    # A body begins with { and a hash with a hex digit: only the ids could be taken for a formula. What
    # isn't ASCII is written as JSON's escapes: no cursor moves, and reading the JSON gives the same again.
    return (
        str(entry.seq),
        str(entry.ts_ms),
        entry.kind,
        csv_text(entry.request_id or ""),
        csv_text(entry.token_id or ""),
        entry.body if entry.body.isascii() and entry.body.isprintable() else _escaped(entry.body),
        previous.hex(),
        entry.hash.hex(),
    )


def _escaped(body: str) -> str:
    return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).replace("\x7f", "\\u007f")


def _csv_line(cells: tuple[str, ...]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode()
