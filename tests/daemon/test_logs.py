import json
import logging
import os
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatvault.daemon import logs
from chatvault.daemon.logs import LogHandler, set_up
from chatvault.gateway.request_log import log_request
from tests.support.ledger import a_hold, a_row


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Leave Python's one and only logging as it was found."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    optimised = ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing")
    before = {name: getattr(logging, name) for name in optimised}
    yield
    logging.captureWarnings(False)
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    for name, value in before.items():
        setattr(logging, name, value)


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[tuple[int, Callable[[LogHandler], list[str]]]]:
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def lines(handler: LogHandler) -> list[str]:
        handler.flush()
        return path.read_text().splitlines()

    yield fd, lines
    os.close(fd)


Lines = tuple[int, Callable[[LogHandler], list[str]]]


def test_auto_writes_for_people_where_there_is_no_journal(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="info", format="auto", fd=fd, journal_stream="8:123")
    logging.getLogger("chatvault.x").info("hello")
    (line,) = lines(handler)
    assert line.endswith("info     chatvault.x: hello")


def test_auto_writes_fields_where_the_output_is_the_journals() -> None:
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "j")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
            journald.bind(address)
            journald.settimeout(10)
            status = os.fstat(journald.fileno())
            set_up(
                level="info",
                format="auto",
                fd=journald.fileno(),
                journal_stream=f"{status.st_dev}:{status.st_ino}",
                journal_socket=address,
            )
            logging.getLogger("chatvault.x").warning("hello", extra={"fields": {"model": "m"}})
            data = journald.recv(65_536)
    assert b"MESSAGE=hello\n" in data
    assert b"CHATVAULT_MODEL=m\n" in data


def test_json_is_one_object_a_line(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="info", format="json", fd=fd, journal_stream=None)
    logging.getLogger("chatvault.x").info("hello")
    assert json.loads(lines(handler)[0])["message"] == "hello"


def test_what_is_below_the_level_is_not_written(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="warning", format="text", fd=fd, journal_stream=None)
    logging.getLogger("chatvault.x").info("quiet")
    logging.getLogger("chatvault.x").warning("loud")
    assert [line.rpartition(" ")[2] for line in lines(handler)] == ["loud"]


def test_a_second_set_up_takes_the_place_of_the_first(log_file: Lines) -> None:
    fd, lines = log_file
    set_up(level="info", format="text", fd=fd, journal_stream=None)
    handler = set_up(level="info", format="text", fd=fd, journal_stream=None)
    logging.getLogger("chatvault.x").info("once")
    assert len(lines(handler)) == 1


@pytest.mark.parametrize("name", ["httpx", "LiteLLM", "uvicorn.error", "asyncssh"])
def test_a_library_writes_warnings_alone(log_file: Lines, name: str) -> None:
    fd, lines = log_file
    handler = set_up(level="debug", format="text", fd=fd, journal_stream=None)
    logging.getLogger(name).info("HTTP Request: POST https://…")
    logging.getLogger(name).warning("trouble")
    assert [line.rpartition(" ")[2] for line in lines(handler)] == ["trouble"]


def test_uvicorns_own_request_lines_are_not_written(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="debug", format="text", fd=fd, journal_stream=None)
    logging.getLogger("uvicorn.access").critical("GET / 200")
    assert lines(handler) == []


def test_a_library_can_neither_talk_past_the_handler_nor_become_talkative(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="debug", format="text", fd=fd, journal_stream=None)
    library = logging.getLogger("chatvault-test-library")
    library.addHandler(logging.NullHandler())
    logs._tame(library.name, logging.WARNING)
    assert library.handlers == []
    # One that is only made after the set-up, as litellm's are.
    logs._tame("chatvault-test-late", logging.WARNING)
    late = logging.getLogger("chatvault-test-late")
    late.addHandler(logging.StreamHandler())
    late.setLevel(logging.DEBUG)
    late.debug("prompt: …")
    late.error("once")
    assert late.handlers == []
    assert len(lines(handler)) == 1


def test_warnings_of_python_reach_the_log(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="info", format="text", fd=fd, journal_stream=None)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # catch_warnings has put Python's own display back: hand it over as captureWarnings does.
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old-fashioned", stacklevel=1)
        logging.captureWarnings(False)
    assert any("old-fashioned" in line for line in lines(handler))


def test_a_key_in_any_librarys_message_is_hidden(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="info", format="text", fd=fd, journal_stream=None)
    logging.getLogger("httpx").error("401 for Authorization: Bearer sk-ant-AAAABBBBCCCC")
    assert "AAAABBBB" not in lines(handler)[0]


def test_a_request_keeps_its_place_among_the_lines_and_is_redacted_too(log_file: Lines) -> None:
    fd, lines = log_file
    handler = set_up(level="info", format="text", fd=fd, journal_stream=None)
    logging.getLogger("chatvault.x").info("before")
    log_request(a_row(a_hold(), model_name="sk-ant-AAAABBBBCCCC\nx"), token_name="phone")
    logging.getLogger("chatvault.x").info("after")
    before, request, after = lines(handler)
    assert before.endswith("before") and after.endswith("after")
    assert "phone" in request and "sk-ant-…" in request and "AAAABBBB" not in request
