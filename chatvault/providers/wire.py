"""What providers send, decoded: a shape that is insisted on, and counts that may be anything."""

import re
from collections.abc import Callable
from typing import TypeGuard, TypeVar, get_args

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

    The same goes for the objects in its fields. None where it is no object. An answer is not thrown away for
    what stands beside it.
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
            inner = next((each for each in get_args(field.type) if _is_shape(each)), None)
            if inner is not None:
                setattr(found, field.name, lenient(told[field.encode_name], inner))
    return found


def forgiving(shape: type[Struct]) -> Callable[[bytes], Struct]:
    """Return a reader of JSON objects that takes as much of one as is in `shape`, where not all of it is.

    It raises one of UNREADABLE for what is no object.
    """
    decode = msgspec.json.Decoder(shape).decode

    def read(json: bytes) -> Struct:
        try:
            return decode(json)
        except UNREADABLE:
            found = lenient(msgspec.Raw(whole_characters(json)), shape)
            if found is None:
                raise
            return found

    return read


def _is_shape(type: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(type, msgspec.StructMeta)


# A pair of surrogates, one without its other half, and whatever else is escaped.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def whole_characters(json: bytes) -> bytes:
    """Return JSON with U+FFFD in place of each half of a character: no strict reader takes one.

    It is the same object where there is none.
    """
    whole = _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], json)
    return json if whole == json else whole


def count(value: object) -> int | None:
    """Return a token count as it may be written down; what can't be one is unknown."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _MOST_TOKENS else None
