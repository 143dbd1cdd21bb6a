"""How a log record is written: for people, as JSON, as journald's fields.

Whatever stands in a record may come from outside: nothing unprintable and nothing that looks like a
credential leaves here. Facts for programs are the mapping `record.fields`; None in it means unknown, and is
left out.
"""

import logging
import time
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import msgspec

from chatvault.core.redaction import redact
from chatvault.core.text import printable

LineFormat: TypeAlias = Callable[[logging.LogRecord], bytes]
Fact: TypeAlias = str | int | float | bool | list[str]

# syslog's severities.
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7
# Begins each further line of a record, so that no text from outside can pass for a record of its own.
_CONTINUED = "  | "
# Loggers whose messages are made for people as they are.
_BARE = frozenset({"chatvault.requests", "chatvault.logins"})

_exceptions = logging.Formatter()


class PeopleFormat:
    """A line for people: local time, then the message; with day and zone where it isn't a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._clock = _SecondClock("%H:%M:%S" if is_terminal else "%Y-%m-%d %H:%M:%S%z", time.localtime)

    def __call__(self, record: logging.LogRecord) -> bytes:
        text = _message(record)
        if record.name not in _BARE:
            text = f"{record.levelname.lower():<8} {record.name}: {text}"
        line = f"{self._clock.text(record.created)} {text}\n"
        for further in _traceback(record):
            line += f"{_CONTINUED}{further}\n"
        return line.encode()


class JsonFormat:
    """One JSON object a line: time (UTC), level, logger, message, then the record's fields."""

    def __init__(self) -> None:
        self._clock = _SecondClock("%Y-%m-%dT%H:%M:%S", time.gmtime)

    def __call__(self, record: logging.LogRecord) -> bytes:
        milliseconds = int(record.created * 1000) % 1000
        entry: dict[str, Fact] = {
            "time": f"{self._clock.text(record.created)}.{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        entry.update(_facts(record))
        trace = _traceback(record)
        if trace:
            entry["traceback"] = trace
        return msgspec.json.encode(entry) + b"\n"


class JournalFormat:
    """One datagram of journald's native protocol: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, CHATVAULT_….

    https://systemd.io/JOURNAL_NATIVE_PROTOCOL/: `NAME=value` and a newline, or, where the value has newlines
    of its own, `NAME`, a newline, the value's length (64 bits, little endian), the value and a newline.
    """

    def __init__(self, *, identifier: str = "chatvault") -> None:
        self._identifier = identifier

    def __call__(self, record: logging.LogRecord) -> bytes:
        priority = next((p for level, p in _PRIORITIES if record.levelno >= level), _DEBUG_PRIORITY)
        lines = [f"PRIORITY={priority}\nSYSLOG_IDENTIFIER={self._identifier}\nCHATVAULT_LOGGER={record.name}"]
        for name, value in _facts(record).items():
            if value is True or value is False:
                value = "true" if value else "false"
            lines.append(f"{_journal_name(name)}{value}")
        rest = "\n".join(lines)
        trace = _traceback(record)
        if not trace:
            return f"MESSAGE={_message(record)}\n{rest}\n".encode()
        message = "\n".join([_message(record), *trace]).encode()
        return b"MESSAGE\n%b%b\n%b\n" % (len(message).to_bytes(8, "little"), message, rest.encode())


class _SecondClock:
    """Write an instant to the second; most records share the second of the one before."""

    def __init__(self, pattern: str, zone: Callable[[float], time.struct_time]) -> None:
        self._pattern = pattern
        self._zone = zone
        self._last = (-1, "")

    def text(self, epoch: float) -> str:
        second = int(epoch)
        last = self._last
        if last[0] != second:
            last = self._last = (second, time.strftime(self._pattern, self._zone(second)))
        return last[1]


@lru_cache(maxsize=256)
def _journal_name(name: str) -> str:
    return f"CHATVAULT_{name.upper()}="


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    """Return the fields that are known, each fit to leave."""
    facts: dict[str, Fact] = {}
    fields: object = getattr(record, "fields", None)
    if not isinstance(fields, dict):
        return facts
    for name, value in fields.items():
        if value is None:
            continue
        kind = type(value)
        if kind is str:
            facts[name] = _clean_word(value)
        elif kind is int or kind is bool or kind is float:
            facts[name] = value
        else:
            facts[name] = _clean(str(value))
    return facts


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A record whose arguments don't fit its message is still worth reading.
        text = f"{record.msg!r} {record.args!r}"
    return _clean(text)


def _traceback(record: logging.LogRecord) -> list[str]:
    """Return the traceback's lines. It shows source lines, never the values of variables."""
    lines: list[str] = []
    if record.exc_info and record.exc_info[0] is not None:
        lines += _exceptions.formatException(record.exc_info).split("\n")
    if record.stack_info:
        lines += record.stack_info.split("\n")
    return [_clean(line) for line in lines]


def _clean(text: str) -> str:
    text = redact(text)
    return text if text.isprintable() else printable(text)


# The names of models, access tokens and clients come again with every request.
_clean_word = lru_cache(maxsize=1024)(_clean)
