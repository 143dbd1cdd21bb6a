import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatvault.daemon.journal import Journal, is_journal


@pytest.fixture
def address() -> Iterator[str]:
    # A socket's path holds 107 characters, and tmp_path may be longer.
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "j")


@pytest.fixture
def journald(address: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(10)
        yield sock


def lost(count: int) -> bytes:
    return b"MESSAGE=lost %d\n" % count


def receive(sock: socket.socket) -> bytes:
    """Take one record as journald does: the datagram, or the sealed memory file that comes with it."""
    data, fds, _, _ = socket.recv_fds(sock, 1 << 20, 1)
    if not fds:
        return data
    assert data == b""
    with open(fds[0], "rb") as file:
        file.seek(0)
        return file.read()


def test_a_record_is_a_datagram(journald: socket.socket, address: str) -> None:
    journal = Journal(lost, address=address)
    journal.put(b"MESSAGE=hello\n")
    assert receive(journald) == b"MESSAGE=hello\n"
    journal.close()


def test_a_record_too_large_for_a_datagram_goes_as_a_memory_file(
    journald: socket.socket, address: str
) -> None:
    journal = Journal(lost, address=address)
    large = b"MESSAGE=" + b"x" * 4_000_000 + b"\n"
    journal.put(large)
    assert receive(journald) == large
    journal.close()


def test_while_the_journal_is_full_records_wait_in_their_order(journald: socket.socket, address: str) -> None:
    journal = Journal(lost, address=address)
    sent = [b"MESSAGE=%d\n" % number for number in range(2_000)]
    for datagram in sent:
        journal.put(datagram)
    assert [receive(journald) for _ in sent] == sent
    journal.close()


def test_a_journal_that_is_restarted_gets_what_was_said_meanwhile(address: str) -> None:
    journal = Journal(lost, address=address)
    journal.put(b"MESSAGE=early\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(10)
        assert receive(sock) == b"MESSAGE=early\n"
        journal.close()


def test_the_journal_is_known_by_device_and_inode() -> None:
    reader, end = os.pipe()
    status = os.fstat(end)
    assert is_journal(end, f"{status.st_dev}:{status.st_ino}")
    assert not is_journal(end, f"{status.st_dev}:{status.st_ino + 1}")
    assert not is_journal(end, None)
    assert not is_journal(end, "")
    os.close(reader)
    os.close(end)
    assert not is_journal(end, "1:2")
