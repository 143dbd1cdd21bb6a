"""The archives of pruned entries, checked against what the chain says of them."""

import hashlib
from pathlib import Path

import msgspec

from chatvault.core.chain import GENESIS, entry_hash
from chatvault.store.pruned_rows import Pruned, all_pruned
from chatvault.store.reader import Reader
from chatvault.store.verdict import Findings


class _Line(msgspec.Struct):
    seq: int
    ts_ms: int
    kind: str
    body: str
    hash: str


_line_of = msgspec.json.Decoder(_Line).decode


def check_archives(reader: Reader, folder: Path, findings: Findings) -> dict[int, bytes]:
    """Check every archive by its SHA-256, and that all of them together are the chain up to the cut.

    Returns the hashes of the entries in them that checkpoints were made of. Adds `archive` to `findings`.
    """
    sealed = {int(seq) for (seq,) in reader.select("SELECT seq FROM checkpoint")}
    kept: dict[int, bytes] = {}
    seq, head = 0, GENESIS
    for pruned in all_pruned(reader):
        found = _read(folder / Path(pruned.archive).name, pruned, seq, head, sealed)
        if found is None:
            findings.add("archive", seq=pruned.seq)
        else:
            kept.update(found)
        seq, head = pruned.seq, pruned.hash
    return kept


def _read(path: Path, pruned: Pruned, seq: int, head: bytes, sealed: set[int]) -> dict[int, bytes] | None:
    kept: dict[int, bytes] = {}
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != pruned.archive_sha256:
                return None
            file.seek(0)
            for text in file:
                line = _line_of(text)
                seq += 1
                head = entry_hash(head, seq=seq, ts_ms=line.ts_ms, kind=line.kind, body=line.body.encode())
                if (line.seq, line.hash) != (seq, head.hex()):
                    return None
                if seq in sealed:
                    kept[seq] = head
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return kept if (seq, head) == (pruned.seq, pruned.hash) else None
