"""The daemon's log, set up once: where records go, how they are written, and who may write how much.

Everything passes the root logger's one handler, libraries too, so everything is redacted and escaped.
"""

import logging
import os
from functools import partial
from typing import Literal, Protocol, TypeAlias

from chatvault.daemon.journal import JOURNAL_SOCKET, Journal, is_journal
from chatvault.daemon.log_formats import JournalFormat, JsonFormat, LineFormat, PeopleFormat
from chatvault.daemon.log_writer import Line, LogWriter, write_to
from chatvault.gateway.request_log import RequestRecord

Format: TypeAlias = Literal["auto", "text", "json", "journald"]

# Libraries that talk a lot, or write request lines of their own.
_QUIET = (
    "LiteLLM",
    "LiteLLM Proxy",
    "LiteLLM Router",
    "asyncssh",
    "asyncio",
    "httpcore",
    "httpx",
    "multipart",
    "openai",
    "peewee",
    "uvicorn",
    "uvicorn.asgi",
    "uvicorn.error",
)
_SILENT = ("uvicorn.access",)


class Sink(Protocol):
    """Where lines go."""

    def put(self, line: Line, /) -> None:
        """Take a line. Never blocks."""
        ...

    def flush(self) -> None:
        """Wait, for a short time at most, until all lines have gone."""
        ...

    def close(self) -> None:
        """Flush, and take no more."""
        ...


class LogHandler(logging.Handler):
    """Format a record where it arises, and hand the line to a sink.

    A request's record never changes: how it is formatted is handed over in place of the line.
    """

    def __init__(self, format: LineFormat, sink: Sink) -> None:
        super().__init__()
        self._format = format
        self._sink = sink

    def handle(self, record: logging.LogRecord) -> bool:
        """Write one record. There is no filter to ask, and no lock to take: the sinks need none."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if isinstance(record, RequestRecord):
            self._sink.put(partial(self._format, record))
        else:
            self._sink.put(self._format(record))

    def flush(self) -> None:
        """Wait, for a short time at most, until all records have gone."""
        self._sink.flush()

    def close(self) -> None:
        """Write what waits."""
        self._sink.close()
        super().close()


def set_up(
    *,
    level: str,
    format: Format,
    fd: int = 2,
    journal_stream: str | None,
    journal_socket: str = JOURNAL_SOCKET,
) -> LogHandler:
    """Make the root logger write to `fd` or to the journal, and tame the libraries. Returns the handler.

    `level` is debug, info, warning or error; `journal_stream` is the environment's JOURNAL_STREAM. `auto`
    writes journald's fields where `fd` is the journal's, and lines for people elsewhere. The caller closes
    the handler.
    """
    if format == "auto":
        format = "journald" if is_journal(fd, journal_stream) else "text"
    handler = _to_journal(journal_socket) if format == "journald" else _to_fd(fd, format)
    root = logging.getLogger()
    for old in tuple(root.handlers):
        if isinstance(old, LogHandler):
            root.removeHandler(old)
            old.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    _spare_what_nobody_reads()
    for name in _QUIET:
        _tame(name, logging.WARNING)
    for name in _SILENT:
        _tame(name, logging.CRITICAL + 1)
    return handler


def _to_fd(fd: int, format: Format) -> LogHandler:
    line: LineFormat = JsonFormat() if format == "json" else PeopleFormat(is_terminal=os.isatty(fd))
    return LogHandler(line, LogWriter(write_to(fd), lambda count: line(_lost(count))))


def _to_journal(address: str) -> LogHandler:
    line = JournalFormat()
    return LogHandler(line, Journal(lambda count: line(_lost(count)), address=address))


def _lost(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "chatvault.log",
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": f"{count} log lines were lost: whoever reads them was too slow",
        }
    )


def _spare_what_nobody_reads() -> None:
    """Stop logging from looking up the caller, thread and process of each record: a third of its time.

    https://docs.python.org/3/howto/logging.html#optimization
    """
    logging._srcfile = None
    logging.logThreads = False
    logging.logProcesses = False
    logging.logMultiprocessing = False


class _TamedLogger(logging.Logger):
    """A library's logger that can't be given handlers of its own, nor made to talk more."""

    floor = logging.WARNING

    def addHandler(self, hdlr: logging.Handler) -> None:
        """Take no handler: all output passes the root logger's, and its redaction."""

    def setLevel(self, level: int | str) -> None:
        """Set the level, but never below the floor."""
        wanted = level if isinstance(level, int) else logging.getLevelNamesMapping().get(level, self.floor)
        super().setLevel(max(wanted, self.floor))


def _tame(name: str, level: int) -> None:
    """Make the logger `name` write through the root logger alone, from `level` on."""
    known = logging.Logger.manager.loggerDict.get(name)
    if not isinstance(known, logging.Logger):
        before = logging.getLoggerClass()
        logging.setLoggerClass(_TamedLogger)
        known = logging.getLogger(name)
        logging.setLoggerClass(before)
    for handler in tuple(known.handlers):
        known.removeHandler(handler)
    if isinstance(known, _TamedLogger):
        known.floor = level
    known.propagate = True
    known.setLevel(level)
