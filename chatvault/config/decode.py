"""YAML nodes into settings dataclasses, by the types their fields declare.

What a field may hold is read off its annotation: plain types, `X | None`, `Literal`, `tuple[X, ...]`,
`Mapping[str, X]`, another settings class, `Secret`, and `Annotated` with a `Range` or a `ByteSize`. Three
rules go by name instead, so that a provider's own settings get them for free: a number is never negative,
`max_…` and `timeout_…` are above 0, and `…_url` is an http:// or https:// address. A trailing `_` (`from_`)
is not part of the key.
"""

import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, timedelta
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NoReturn, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import yaml

from chatvault.config import scalars
from chatvault.config.document import entries, is_null, line_of
from chatvault.config.secrets import SecretSource
from chatvault.core.secret import Secret
from chatvault.core.setting import ByteSize, Range
from chatvault.errors import ConfigError

T = TypeVar("T")
_TEXT = "tag:yaml.org,2002:str"
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_EXAMPLES: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number within the bounds, such as 10",
    float: "a number such as 30, 0 or more",
    str: "a text such as name",
    Decimal: "a number such as 0.25, 0 or more",
    Path: "a path",
    Secret: "env:NAME, file:PATH or cred:NAME",
    date: "a day such as 2026-11-01",
    timedelta: "30s, 15m, 24h, 90d or 2w",
    ZoneInfo: "local, UTC or a name such as Europe/Berlin",
}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Decoder:
    """Turns the nodes of one file into values; every complaint names the file, the line and the key."""

    def __init__(self, path: Path, secrets: SecretSource) -> None:
        self.path = path
        self._secrets = secrets

    def fail(self, node: yaml.Node, message: str, *, hint: str | None = None) -> NoReturn:
        """Raise ConfigError about `node`."""
        raise ConfigError(message, hint=hint, path=str(self.path), line=line_of(node))

    def dataclass(
        self, cls: type[T], node: yaml.Node, *, where: str, known: Mapping[str, object] = MappingProxyType({})
    ) -> T:
        """Decode a mapping into `cls`. `known` holds fields that are given already, not read."""
        hints = typing.get_type_hints(cls, include_extras=True)
        wanted = {each.name.rstrip("_"): each for each in fields(cast(type, cls)) if each.name not in known}
        values: dict[str, object] = dict(known)
        for key, key_node, value in self.entries(node, where):
            if key not in wanted:
                self.unknown(key_node, _join(where, key), key, tuple(wanted))
            field = wanted[key]
            values[field.name] = self.value(
                hints[field.name], value, where=_join(where, key), key_node=key_node
            )
        for key, field in wanted.items():
            is_required = field.default is MISSING and field.default_factory is MISSING
            if is_required and field.name not in values:
                self.fail(node, f"{where}: {key} is missing", hint=f"add `{key}:` there")
        return cls(**values)

    def unknown(
        self, node: yaml.Node, where: str, name: str, known: tuple[str, ...], *, what: str = "key"
    ) -> NoReturn:
        """Raise ConfigError about an unknown name, with the nearest right one or all of them."""
        near = get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'nothing'}"
        self.fail(node, f"{where}: unknown {what}", hint=hint)

    def entries(self, node: yaml.Node, where: str) -> typing.Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield a mapping's keys and values; null is an empty one."""
        if is_null(node):
            return iter(())
        if not isinstance(node, yaml.MappingNode):
            self.fail(
                node, f"{where or 'the file'}: expected keys with values", hint="write `key: value` lines"
            )
        return entries(node, self.path, where)

    def value(
        self, hint: object, node: yaml.Node, *, where: str, key_node: yaml.Node | None = None
    ) -> object:
        """Decode one value of the type `hint`."""
        extras: tuple[object, ...] = ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *rest = typing.get_args(hint)
            extras = tuple(rest)
        origin = typing.get_origin(hint)
        if origin in (types.UnionType, typing.Union):
            return self._union(typing.get_args(hint), extras, node, where=where)
        if origin is Literal:
            return self._choice(typing.get_args(hint), node, where=where)
        if origin is tuple:
            return self._list(typing.get_args(hint)[0], node, where=where)
        if origin is not None and issubclass(origin, Mapping):
            item = typing.get_args(hint)[1]
            pairs = {
                key: self.value(item, each, where=_join(where, key))
                for key, _, each in self.entries(node, where)
            }
            return MappingProxyType(pairs)
        if is_dataclass(hint):
            # A section with nothing below it starts on its key's line, not wherever the next token stands.
            return self.dataclass(cast(type, hint), node, where=where)
        return self._scalar(cast(type, hint), extras, node, where=where)

    def _union(
        self, options: tuple[object, ...], extras: tuple[object, ...], node: yaml.Node, *, where: str
    ) -> object:
        if type(None) in options and is_null(node):
            return None
        rest = [each for each in options if each is not type(None)]
        for each in rest[:-1]:
            if typing.get_origin(each) is Literal and _raw(node) in typing.get_args(each):
                return _raw(node)
        last = rest[-1]
        return (
            self._scalar(cast(type, last), extras, node, where=where)
            if extras
            else self.value(last, node, where=where)
        )

    def _choice(self, choices: tuple[str, ...], node: yaml.Node, *, where: str) -> str:
        raw = _raw(node)
        if raw not in choices:
            near = get_close_matches(raw or "", choices, n=1)
            self.fail(
                node,
                f"{where}: {raw!r} is not one of {', '.join(choices)}",
                hint=f"did you mean {near[0]}?" if near else f"write one of {', '.join(choices)}",
            )
        return raw

    def _list(self, item: object, node: yaml.Node, *, where: str) -> tuple[object, ...]:
        if is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, f"{where}: expected a list", hint="write it as [first, second]")
        return tuple(
            self.value(item, each, where=f"{where}[{index}]") for index, each in enumerate(node.value)
        )

    def _scalar(self, kind: type, extras: tuple[object, ...], node: yaml.Node, *, where: str) -> object:
        if not isinstance(node, yaml.ScalarNode) or is_null(node):
            got = "nothing" if is_null(node) else "a list" if isinstance(node, yaml.SequenceNode) else "keys"
            self.fail(
                node, f"{where}: expected {_KINDS.get(kind, 'a value')}, got {got}", hint=_example_hint(kind)
            )
        if kind is Secret:
            return self._secrets.resolve(node.value, where=where, path=self.path, line=line_of(node))
        is_text = node.tag == _TEXT
        name = where.rsplit(".", 1)[-1]
        try:
            value = _READERS[kind](node.value, is_text, extras)
            _check_bounds(value, name, extras)
            if name.endswith("_url") and isinstance(value, str) and value:
                _check_url(value)
        except ValueError as exc:
            self.fail(node, f"{where}: {exc}", hint=_quotes_hint(kind, is_text) or _example_hint(kind, name))
        return self._located(value)

    def _located(self, value: object) -> object:
        # Paths are the settings file's neighbours, wherever the program is started.
        return self.path.parent / value.expanduser() if isinstance(value, Path) else value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _raw(node: yaml.Node) -> str | None:
    # YAML 1.1 reads off, no and on as truth values: where a word is meant, the word as it stands counts.
    return node.value if isinstance(node, yaml.ScalarNode) else None


def _quotes_hint(kind: type, is_text: bool) -> str | None:
    if kind is str and not is_text:
        return "put it in quotes"
    return "write it without quotes" if kind in (int, float, bool) and is_text else None


def _example_hint(kind: type, name: str = "") -> str:
    if name.endswith("_url"):
        return "write it like http://127.0.0.1:11434"
    return f"write {_EXAMPLES[kind]}, or leave the key out where it has a default"


def _check_bounds(value: object, name: str, extras: tuple[object, ...]) -> None:
    if isinstance(value, timedelta):
        if not value:
            raise ValueError("must be above 0")
        return
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is too large a number")
    ranges = [each for each in extras if isinstance(each, Range)]
    for bound in ranges:
        if value < bound.least or (bound.most is not None and value > bound.most):
            most = f" to {bound.most:g}" if bound.most is not None else " or more"
            raise ValueError(f"must be {bound.least:g}{most}, got {value}")
    if not ranges and value < 0:
        raise ValueError(f"can't be negative: {value}")
    if not ranges and value == 0 and name.startswith(("max_", "timeout_")):
        raise ValueError("must be above 0")


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or any(char.isspace() for char in text):
        raise ValueError(f"expected an address such as http://127.0.0.1:11434, got {text!r}")
    if parts.username or parts.password:
        raise ValueError("an address can't hold a user name or a password")
    if parts.query or parts.fragment:
        raise ValueError("an address can't hold a ? or #")


def _truth(text: str, is_text: bool, extras: tuple[object, ...]) -> bool:
    if is_text or text.lower() not in _TRUTH:
        raise ValueError(f"expected true or false, got {text!r}")
    return _TRUTH[text.lower()]


def _whole(text: str, is_text: bool, extras: tuple[object, ...]) -> int:
    if any(isinstance(each, ByteSize) for each in extras):
        return scalars.byte_size(text)
    if is_text:
        raise ValueError(f"expected a whole number, got {text!r}")
    return scalars.whole_number(text)


def _float(text: str, is_text: bool, extras: tuple[object, ...]) -> float:
    if is_text:
        raise ValueError(f"expected a number, got {text!r}")
    return float(scalars.decimal_number(text))


def _text(text: str, is_text: bool, extras: tuple[object, ...]) -> str:
    if not is_text:
        raise ValueError(f"expected text, got {text}")
    return text


_READERS: Mapping[type, Callable[[str, bool, tuple[object, ...]], object]] = {
    bool: _truth,
    int: _whole,
    float: _float,
    str: _text,
    Decimal: lambda text, is_text, extras: scalars.decimal_number(text),
    Path: lambda text, is_text, extras: Path(text),
    date: lambda text, is_text, extras: scalars.day(text),
    timedelta: lambda text, is_text, extras: scalars.duration(text),
    ZoneInfo: lambda text, is_text, extras: scalars.zone(text),
}
