"""The audit chain: how an entry's body is written as bytes, and hashed onto the entry before it.

hash = SHA256("chatvault/audit/v1" NUL || previous hash || be64(seq) || be64(ts_ms) || kind || NUL || body)

The body is canonical JSON: keys sorted, no spaces, no floats, UTF-8 unescaped. It is stored as it was hashed,
so that nobody who checks a chain ever has to write JSON the way its author did.
"""

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

GENESIS = bytes(32)
"""What stands for the previous hash before the first entry."""

DOMAIN = b"chatvault/audit/v1\0"
"""What every hash begins with, so that it can be no other program's."""

_numbers = struct.Struct(">qq").pack


def entry_hash(previous: bytes, *, seq: int, ts_ms: int, kind: str, body: bytes) -> bytes:
    """Return the 32 bytes that bind an entry to all entries before it."""
    return hashlib.sha256(
        b"".join((DOMAIN, previous, _numbers(seq, ts_ms), kind.encode(), b"\0", body))
    ).digest()


def canonical(body: Mapping[str, Json]) -> bytes:
    """Write `body` as canonical JSON.

    Raises TypeError for a float, a key that isn't text, or anything else JSON-with-whole-numbers can't say.
    """
    _refuse_what_is_not_exact(body)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_what_is_not_exact(value: object) -> None:
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a key of an audit body is text, not {key!r}")
            _refuse_what_is_not_exact(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_what_is_not_exact(inner)
    else:
        raise TypeError(f"an audit body can't hold {value!r}: only text, whole numbers, booleans and null")
