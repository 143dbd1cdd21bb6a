"""The check of the chain against its checkpoints: those kept in the database, and those a log kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from chatvault.core.checkpoint import Checkpoint
from chatvault.store.books import restores
from chatvault.store.checkpoints import all_checkpoints
from chatvault.store.entries import FOREIGN, Head
from chatvault.store.pruned_rows import last_pruned
from chatvault.store.reader import Reader
from chatvault.store.signing import TrustedKeys
from chatvault.store.verdict import Comparison, Findings

# A group may write 1,024 entries before it looks whether a checkpoint is due: this many never go without.
_MOST_UNSEALED = 5000


class _Line(msgspec.Struct):
    line: str = ""


_line_of = msgspec.json.Decoder(_Line).decode


class CheckpointCheck:
    """Compare the kept checkpoints with the chain. `base` is what the chain begins after: pruned entries."""

    def __init__(self, reader: Reader, findings: Findings, *, keys: TrustedKeys | None, base: Head) -> None:
        self._reader = reader
        self._findings = findings
        self._keys = keys
        self._base = base
        self._in_chain: dict[int, str] = {}
        self._signed_at_birth: list[tuple[int, str]] = []

    def entry(self, seq: int, body: bytes) -> None:
        """Take an entry that holds a checkpoint."""
        try:
            self._in_chain[seq - 1] = _line_of(body).line
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._findings.add("checkpoint", seq=seq)

    def signed_at_birth(self, seq: int, kind: str) -> None:
        """Take an entry that only a signature makes believable: of a pruning, a restore, a foreign hand."""
        self._signed_at_birth.append((seq, kind))

    def finish(self, head_seq: int) -> None:
        """Check signatures, hashes, and that table and chain hold the same checkpoints."""
        wrong = self._findings.add
        last = 0
        believed: dict[int, bytes] = {}
        for seq, digest, checkpoint in all_checkpoints(self._reader):
            last = max(last, seq)
            if checkpoint is None or (checkpoint.seq, checkpoint.statement.hash) != (seq, digest):
                wrong("checkpoint", seq=seq)
                continue
            if self._keys is not None and not self._keys.believes(checkpoint):
                is_known = checkpoint.statement.signer in self._keys.by_fingerprint
                wrong("signature" if is_known else "unknown_signer", seq=seq)
            else:
                believed[seq] = digest
            if seq >= self._base.seq and _hash_at(self._reader, seq, self._base) != digest:
                wrong("rewritten", seq=seq)
            kept = self._in_chain.pop(seq, None)
            if seq >= self._base.seq and kept != checkpoint.line():
                wrong("checkpoint", seq=seq)
        for seq in self._in_chain:
            wrong("checkpoint", seq=seq)
        self._check_base(believed)
        sealed = max(believed, default=0)
        for seq, kind in self._signed_at_birth:
            if seq > sealed:
                wrong("foreign" if kind == FOREIGN else "unsigned", seq=seq)
        if self._keys is not None and self._keys.by_fingerprint and head_seq - last > _MOST_UNSEALED:
            wrong("unsealed", seq=last + 1)

    def _check_base(self, believed: Mapping[int, bytes]) -> None:
        """See that a signature vouches for the hash that the rest of the chain begins with."""
        pruned = last_pruned(self._reader)
        if pruned is None:
            return
        if believed.get(pruned.seq) != pruned.hash:
            self._findings.add("pruned", seq=pruned.seq)


def compare(
    reader: Reader,
    checkpoints: Iterable[Checkpoint],
    keys: TrustedKeys,
    findings: Findings,
    *,
    archived: Mapping[int, bytes] | None = None,
) -> Comparison:
    """Compare the chain with checkpoints that were kept elsewhere.

    One of an entry that was pruned fits where the table of checkpoints still holds that very line, or where
    the archives have that hash: `archived`, by number.

    Adds `rewritten` (another entry stands there), `cut_off` (the chain ends before it), `signature` and
    `unknown_signer` to `findings`. A checkpoint that doesn't fit is excused by a restored backup only where
    a later checkpoint in the database, signed by the same key, covers the entry of the restore, and that
    entry says what was replaced: nobody without the key can make one. A signed restore that doesn't say, of
    a database that couldn't be read, excuses nothing: that is `lost`.
    """
    base = reader.base()
    head = reader.head()
    pruned_lines = {
        seq: each.line() for seq, _, each in all_checkpoints(reader) if each is not None and seq < base.seq
    }
    excuses = _signed_restores(reader, keys)
    read = matched = 0
    lost: list[int] = []
    restored_at: int | None = None
    for checkpoint in checkpoints:
        read += 1
        seq = checkpoint.seq
        if not keys.believes(checkpoint):
            is_known = checkpoint.statement.signer in keys.by_fingerprint
            findings.add("signature" if is_known else "unknown_signer", seq=seq)
            continue
        if seq < base.seq:
            in_archive = None if archived is None else archived.get(seq)
            fits = pruned_lines.get(seq) == checkpoint.line() or in_archive == checkpoint.statement.hash
        else:
            fits = _hash_at(reader, seq, base) == checkpoint.statement.hash
        if fits:
            matched += 1
            continue
        excuse = next(
            (
                each
                for each in excuses
                if each.seq <= seq
                and checkpoint.statement.ts_ms <= each.ts_ms
                and checkpoint.statement.signer in each.signers
                and (each.highest_seq is None or seq <= each.highest_seq)
            ),
            None,
        )
        if excuse is not None and excuse.highest_seq is None:
            findings.add("lost", seq=seq)
        elif excuse is not None:
            lost.append(seq)
            restored_at = excuse.seq
        else:
            findings.add("rewritten" if seq <= head.seq else "cut_off", seq=seq)
    return Comparison(read, matched, tuple(lost), restored_at)


@dataclass(frozen=True, slots=True)
class _Restored:
    seq: int
    ts_ms: int
    highest_seq: int | None
    signers: frozenset[str]


def _signed_restores(reader: Reader, keys: TrustedKeys) -> list[_Restored]:
    told = restores(reader.connection)
    if not told:
        return []
    base = reader.base()
    sealed: dict[str, int] = {}
    for seq, digest, checkpoint in all_checkpoints(reader):
        if (
            checkpoint is not None
            and (checkpoint.seq, checkpoint.statement.hash) == (seq, digest)
            and keys.believes(checkpoint)
            and _hash_at(reader, seq, base) == digest
        ):
            sealed[checkpoint.statement.signer] = seq
    found = []
    for each in told:
        signers = frozenset(signer for signer, last in sealed.items() if each.told_at <= last)
        if signers:
            highest = None if each.replaced_head is None else each.highest_seq
            found.append(_Restored(each.seq, each.ts_ms, highest, signers))
    return found


def _hash_at(reader: Reader, seq: int, base: Head) -> bytes | None:
    if seq == base.seq:
        return base.hash
    found = reader.select("SELECT hash FROM audit WHERE seq = ?", (seq,)).fetchone()
    return bytes(found[0]) if found else None
