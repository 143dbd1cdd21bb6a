"""Datagrams to journald, the journal of systemd."""

import errno
import fcntl
import os
import socket
import time
from array import array
from collections.abc import Callable, Sequence

from chatvault.daemon.log_writer import Line, LogWriter

JOURNAL_SOCKET = "/run/systemd/journal/socket"
_RETRY_SECONDS = 0.5
_RETRIES = 20


def is_journal(fd: int, journal_stream: str | None) -> bool:
    """Whether a file descriptor is journald's: `journal_stream` is what systemd says in JOURNAL_STREAM."""
    if not journal_stream:
        return False
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


class Journal:
    """Send records to journald: at once where it has room, else from a thread that waits for it.

    A datagram costs the loop a few microseconds. One that is too large for the socket goes as a sealed memory
    file, as the protocol has it.
    """

    def __init__(self, lost: Callable[[int], bytes], *, address: str = JOURNAL_SOCKET) -> None:
        self._address = address
        self._direct = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._direct.setblocking(False)
        self._patient = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._writer = LogWriter(self._write, lost)

    def put(self, record: Line) -> None:
        """Send one record. Never blocks."""
        if not self._writer.is_idle:
            self._writer.put(record)
            return
        datagram = record if isinstance(record, bytes) else record()
        try:
            self._direct.sendto(datagram, self._address)
        except OSError:
            # No room, too large, or journald is being restarted: the thread sorts it out.
            self._writer.put(datagram)

    def flush(self) -> None:
        """Wait a little until all is sent."""
        self._writer.flush()

    def close(self) -> None:
        """Send what waits, and let go of the socket."""
        self._writer.close()
        self._direct.close()
        self._patient.close()

    def _write(self, datagrams: Sequence[bytes]) -> None:
        for datagram in datagrams:
            for _ in range(_RETRIES):
                try:
                    self._send(datagram)
                    break
                except (ConnectionError, FileNotFoundError):
                    # journald is being restarted.
                    time.sleep(_RETRY_SECONDS)
                except OSError:
                    # Nothing can be said of it: this is where it would be said.
                    break

    def _send(self, datagram: bytes) -> None:
        try:
            self._patient.sendto(datagram, self._address)
            return
        except OSError as exc:
            if exc.errno not in (errno.EMSGSIZE, errno.ENOBUFS):
                raise
        fd = os.memfd_create("chatvault-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(datagram)
            fcntl.fcntl(
                fd,
                fcntl.F_ADD_SEALS,
                fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL,
            )
            # socket.send_fds drops the address it is given (Python 3.11 to 3.13).
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [fd]))
            self._patient.sendmsg([b""], [rights], 0, self._address)
        finally:
            os.close(fd)
