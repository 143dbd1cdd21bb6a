"""What providers send, decoded: a shape that is insisted on, and counts that may be anything."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from chatvault.errors import ProviderFailed

T = TypeVar("T")
Struct = TypeVar("Struct", bound=msgspec.Struct)

NOTHING = msgspec.Raw(b"null")
# What reading JSON that isn't, is no text, or is nested beyond all measure ends in.
UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
# No call takes a hundred million tokens: such a count is a mistake, and its cost might not fit the ledger.
_MOST_TOKENS = 10**8


def decoded(
    decode: Callable[[bytes], T],
    body: bytes,
    *,
    provider: str,
    what: str = "an answer",
    request_id: str | None = None,
) -> T:
    """Return a whole body in its shape. Raises ProviderFailed for one that makes no sense."""
    try:
        return decode(body)
    except UNREADABLE as exc:
        raise ProviderFailed(
            f"{provider} sent {what} that makes no sense",
            hint=f"check providers.{provider}.base_url",
            upstream_request_id=request_id,
        ) from exc


def lenient(raw: msgspec.Raw, shape: type[Struct]) -> Struct | None:
    """Return an object with the fields that are as they should be, the others at their defaults.

    None where it is no object. An answer is not thrown away for what stands beside it.
    """
    try:
        return msgspec.json.decode(raw, type=shape)
    except UNREADABLE:
        pass
    try:
        told = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return None
    found = shape()
    for field in msgspec.structs.fields(shape):
        try:
            if field.encode_name in told:
                setattr(found, field.name, msgspec.json.decode(told[field.encode_name], type=field.type))
        except UNREADABLE:
            continue
    return found


def count(value: object) -> int | None:
    """Return a token count as it may be written down; what can't be one is unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MOST_TOKENS else None
