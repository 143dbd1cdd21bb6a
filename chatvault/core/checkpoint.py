"""Checkpoints: signed statements of where the audit chain stood, in one line fit for a log.

`chatvault-checkpoint v1 seq=1000 head=<hex> time=<epoch ms> signer=SHA256:… sig=<hex>`

What is signed is the line up to ` sig=`, in OpenSSH's format with the namespace `chatvault-checkpoint`. A
line that was logged lies outside the database: a chain that somebody wrote anew no longer fits it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chatvault.core.sshsig import signed_blob

NAMESPACE = "chatvault-checkpoint"

_LINE = re.compile(
    r"chatvault-checkpoint v1 seq=([0-9]{1,19}) head=([0-9a-f]{64}) time=([0-9]{1,19})"
    r" signer=(SHA256:[A-Za-z0-9+/]{43}) sig=([0-9a-f]{128})"
)
# JSON may write a slash as \/.
_ESCAPED_SLASH = "\\/"


@dataclass(frozen=True, slots=True)
class Statement:
    """Where the chain stood: entry `seq` had `hash`, at `ts_ms` (epoch ms), says the key `signer`."""

    seq: int
    ts_ms: int
    hash: bytes
    signer: str

    def text(self) -> str:
        """Return the words that are signed."""
        return (
            f"chatvault-checkpoint v1 seq={self.seq} head={self.hash.hex()}"
            f" time={self.ts_ms} signer={self.signer}"
        )

    def blob(self) -> bytes:
        """Return the bytes that are signed."""
        return signed_blob(NAMESPACE, hashlib.sha512(self.text().encode()).digest())


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A statement and its signature."""

    statement: Statement
    signature: bytes

    @property
    def seq(self) -> int:
        """The number of the entry it speaks of."""
        return self.statement.seq

    def line(self) -> str:
        """Return it as it is logged and kept."""
        return f"{self.statement.text()} sig={self.signature.hex()}"


def read_line(text: str) -> Checkpoint | None:
    """Return the first checkpoint in a line of any log; None where there is none."""
    found = _LINE.search(text.replace(_ESCAPED_SLASH, "/"))
    if found is None:
        return None
    seq, head, ts_ms, signer, signature = found.groups()
    return Checkpoint(Statement(int(seq), int(ts_ms), bytes.fromhex(head), signer), bytes.fromhex(signature))


def read_lines(lines: Iterable[str]) -> Iterator[Checkpoint]:
    """Yield the checkpoints in the lines of a log: a journal's, as text or JSON, or a file of our own."""
    for line in lines:
        found = read_line(line)
        if found is not None:
            yield found
