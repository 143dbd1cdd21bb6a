import json
import logging
import sys
from typing import Any

import pytest

from chatvault.daemon.log_formats import JournalFormat, JsonFormat, PeopleFormat

KEY = "sk-ant-api03-AAAABBBBCCCCDDDD"
# An ANSI escape, a C1 control, a right-to-left override, a newline.
HOSTILE = "x\x1b[2J\x9b\u202e\nINFO forged"


def record(message: str, *args: object, name: str = "chatvault.test", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, message, args, None)
    made.created = 1_795_000_000.25  # 2026-11-18T11:06:40.250Z
    made.__dict__.update(extra)
    return made


def people(made: logging.LogRecord) -> str:
    return PeopleFormat(is_terminal=False)(made).decode()


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormat()(made)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    loaded: dict[str, Any] = json.loads(line)
    return loaded


def journal(made: logging.LogRecord) -> dict[str, str]:
    """Read a datagram as journald does."""
    data = JournalFormat()(made)
    fields = {}
    while data:
        line, _, data = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
        else:
            name, length = line, int.from_bytes(data[:8], "little")
            value, data = data[8 : 8 + length], data[8 + length + 1 :]
        assert name.decode() not in fields
        fields[name.decode()] = value.decode()
    return fields


def failing(message: str) -> logging.LogRecord:
    secret_local = KEY
    try:
        raise RuntimeError(message)
    except RuntimeError:
        made = record("it failed")
        made.exc_info = sys.exc_info()
    assert secret_local
    return made


def test_people_read_level_logger_and_message() -> None:
    made = record("disk %d %% full", 93)
    assert people(made).endswith(" warning  chatvault.test: disk 93 % full\n")


def test_a_terminal_shows_the_time_alone() -> None:
    line = PeopleFormat(is_terminal=True)(record("hello", name="chatvault.requests")).decode()
    time, _, rest = line.partition(" ")
    assert [len(part) for part in time.split(":")] == [2, 2, 2]
    assert rest == "hello\n"


def test_json_carries_the_time_in_utc_and_the_fields_that_are_known() -> None:
    made = record("hello", fields={"event": "request", "status": 200, "stream": True, "cost": None})
    assert as_json(made) == {
        "time": "2026-11-18T11:06:40.250Z",
        "level": "warning",
        "logger": "chatvault.test",
        "message": "hello",
        "event": "request",
        "status": 200,
        "stream": True,
    }


def test_the_journal_gets_each_field_by_its_name() -> None:
    made = record("hello", fields={"request_id": "01JD", "status": 200, "stream": False, "cost": None})
    assert journal(made) == {
        "MESSAGE": "hello",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "chatvault",
        "CHATVAULT_LOGGER": "chatvault.test",
        "CHATVAULT_REQUEST_ID": "01JD",
        "CHATVAULT_STATUS": "200",
        "CHATVAULT_STREAM": "false",
    }


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, "7"), (logging.INFO, "6"), (logging.WARNING, "4"), (logging.ERROR, "3"), (50, "2")],
)
def test_a_level_has_the_priority_that_syslog_gives_it(level: int, priority: str) -> None:
    made = record("x")
    made.levelno = level
    assert journal(made)["PRIORITY"] == priority


def test_no_text_from_outside_can_make_a_line_or_a_field_of_its_own() -> None:
    made = record("user %s", HOSTILE, fields={"model": HOSTILE + "\nPRIORITY=0"})
    for text in (people(made), JsonFormat()(made).decode(), JournalFormat()(made).decode()):
        assert "\x1b" not in text and "\x9b" not in text and "\u202e" not in text
    assert people(made).count("\n") == 1
    assert as_json(made)["model"] == r"x\x1b[2J\x9b\u202e\nINFO forged\nPRIORITY=0"
    assert journal(made)["PRIORITY"] == "4"


def test_a_credential_never_gets_out() -> None:
    made = record("called with %s", KEY, fields={"model": KEY, "error": ValueError(KEY)})
    for written in (people(made), str(as_json(made)), str(journal(made))):
        assert "AAAABBBB" not in written
        assert "sk-ant-…" in written


def test_a_traceback_shows_neither_variables_nor_credentials() -> None:
    made = failing(f"refused: {KEY}\nINFO forged")
    for written in (people(made), str(as_json(made)), str(journal(made))):
        assert "RuntimeError: refused: sk-ant-…" in written
        assert "AAAABBBB" not in written


def test_a_traceback_stays_with_its_record() -> None:
    made = failing("first\nsecond")
    first, *further = people(made).rstrip("\n").split("\n")
    assert first.endswith("it failed")
    assert all(line.startswith("  | ") for line in further)
    assert further[-1] == "  | second"
    assert as_json(made)["traceback"][-1] == "second"
    assert journal(made)["MESSAGE"].split("\n")[0] == "it failed"


def test_arguments_that_do_not_fit_the_message_do_not_lose_it() -> None:
    assert "'%d tokens' ('many',)" in people(record("%d tokens", "many"))


def test_a_lone_surrogate_is_written_as_an_escape() -> None:
    made = record("half \ud83d", fields={"model": "\udc00"})
    assert r"half \ud83d" in people(made)
    assert as_json(made)["model"] == r"\udc00"
    assert journal(made)["CHATVAULT_MODEL"] == r"\udc00"
