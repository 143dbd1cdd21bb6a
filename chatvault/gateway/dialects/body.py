"""A request's body, decoded: a JSON object, nested no deeper than whoever reads it later can follow."""

from typing import Any

import msgspec

from chatvault.errors import RequestError

# Schemas and arguments are copied, translated and written again on the way to a provider, partly by calls
# within calls: what only just could be read would break there. No schema in use comes near this.
_MOST_LEVELS = 256
# Some programs on Windows begin every text so; a reader may ignore it (RFC 8259, section 8.1).
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What gzip, zstd and zlib begin with; no JSON does.
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x78\x01", b"\x78\x9c", b"\x78\xda")
_CONTAINERS = (dict, list)
_decode = msgspec.json.Decoder().decode


def decoded(raw: bytes) -> dict[str, Any]:
    """Return the object that a body holds. Raises RequestError (400)."""
    try:
        body = _decode(raw.removeprefix(_BYTE_ORDER_MARK))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        if raw.startswith(_COMPRESSED):
            raise RequestError(
                "The body is compressed: send it as plain JSON, without content-encoding.",
                code="invalid_json",
            ) from exc
        raise RequestError(f"The body is not valid JSON: {exc}", code="invalid_json") from exc
    except RecursionError as exc:
        raise _too_deep() from exc
    if not isinstance(body, dict):
        raise RequestError("The body must be a JSON object.", code="invalid_json")
    # Who has not opened so many has not nested so many: most requests are not looked at again.
    if raw.count(b"{") + raw.count(b"[") > _MOST_LEVELS and _is_deep(body):
        raise _too_deep()
    return body


def _is_deep(body: dict[str, Any]) -> bool:
    """Whether more than `_MOST_LEVELS` objects and lists stand within each other."""
    level: list[Any] = [body]
    for _ in range(_MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, _CONTAINERS)
        ]
        if not level:
            return False
    return True


def _too_deep() -> RequestError:
    return RequestError(
        f"The body is nested too deeply: {_MOST_LEVELS} levels are taken.", code="invalid_json"
    )
