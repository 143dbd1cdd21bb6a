"""Reading one JSON field: the right type and range, or an error that names it."""

from collections.abc import Callable
from typing import TypeVar, cast

from chatvault.core.chat import CacheTtl, JsonObject
from chatvault.errors import RequestError

_MAX_NAMES = 32
_Value = TypeVar("_Value")


class Dropped:
    """The names of the fields that were dropped, each once, at most 32 of them."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[str, None] = {}

    def add(self, name: object) -> None:
        """Note a dropped field; only the characters that a header may hold are kept of its name."""
        if len(self._names) < _MAX_NAMES:
            text = "".join(
                char if char.isascii() and (char.isalnum() or char in "_-.") else "?" for char in str(name)
            )
            self._names[text[:64]] = None

    def names(self) -> tuple[str, ...]:
        """Return the names, in the order they were met."""
        return tuple(self._names)


def refuse(message: str, param: str, *, code: str | None = "invalid_value") -> RequestError:
    """Return the error for a field that can't be taken as it is."""
    return RequestError(message[0].upper() + message[1:] + ".", param=param, code=code)


def as_text(value: object, path: str) -> str:
    """Return `value` if it is a string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise refuse(f"'{path}' must be a string", path, code="invalid_type")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise refuse(f"'{path}' holds half of a surrogate pair", path) from exc
    return value


def as_bool(value: object, path: str) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, bool):
        raise refuse(f"'{path}' must be true or false", path, code="invalid_type")
    return value


def as_int(value: object, path: str, *, lowest: int | None = None, highest: int | None = None) -> int:
    """Return `value` if it is a whole number in range; 4.0 counts as 4."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise refuse(f"'{path}' must be a whole number", path, code="invalid_type")
    _check_range(value, path, lowest, highest)
    return value


def as_number(
    value: object, path: str, *, lowest: float | None = None, highest: float | None = None
) -> float:
    """Return `value` if it is a number in range, as it was written (1 stays 1)."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise refuse(f"'{path}' must be a number", path, code="invalid_type")
    _check_range(value, path, lowest, highest)
    return value


def as_object(value: object, path: str) -> JsonObject:
    """Return `value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise refuse(f"'{path}' must be an object", path, code="invalid_type")
    return cast(JsonObject, value)


def optional(values: JsonObject, key: str, path: str, read: Callable[[object, str], _Value]) -> _Value | None:
    """Return what `read` makes of a field of the object at `path`; None where it is missing or null."""
    value = values.get(key)
    return None if value is None else read(value, f"{path}.{key}")


def cache_mark(value: object, path: str) -> CacheTtl | None:
    """Return the lifetime of a prompt-cache breakpoint (`{"type": "ephemeral", "ttl": "1h"}`), or None."""
    if value is None:
        return None
    mark = as_object(value, path)
    if mark.get("type") != "ephemeral":
        raise refuse(f"'{path}.type' must be ephemeral", path)
    ttl = mark.get("ttl", "5m")
    if ttl not in ("5m", "1h"):
        raise refuse(f"'{path}.ttl' must be 5m or 1h", path)
    return ttl


def _check_range(value: float, path: str, lowest: float | None, highest: float | None) -> None:
    if (lowest is not None and value < lowest) or (highest is not None and value > highest):
        raise refuse(f"'{path}' must lie between {lowest} and {highest}", path)
