import os
import threading
import time
from collections.abc import Sequence

from chatvault.daemon import log_writer
from chatvault.daemon.log_writer import LogWriter, write_to


class Slow:
    """A reader that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lines: list[bytes] = []

    def write(self, lines: Sequence[bytes]) -> None:
        self.go.wait(10)
        self.lines += lines


def lost(count: int) -> bytes:
    return b"lost %d\n" % count


def test_lines_come_out_in_their_order() -> None:
    reader, end = os.pipe()
    writer = LogWriter(write_to(end), lost)
    for number in range(1_000):
        writer.put(b"%d\n" % number)
    writer.close()
    os.close(end)
    with open(reader, "rb") as file:
        assert file.read().split() == [b"%d" % number for number in range(1_000)]


def test_a_line_may_be_made_in_the_writers_thread() -> None:
    slow = Slow()
    slow.go.set()
    writer = LogWriter(slow.write, lost)
    writer.put(b"first\n")
    writer.put(lambda: threading.current_thread().name.encode())
    writer.put(b"last\n")
    writer.close()
    assert slow.lines == [b"first\n", b"chatvault-log", b"last\n"]


def test_a_reader_that_hangs_holds_nobody_up() -> None:
    slow = Slow()
    writer = LogWriter(slow.write, lost)
    begun = time.monotonic()
    for _ in range(100):
        writer.put(b"x\n")
    writer.flush(seconds=0.05)
    assert time.monotonic() - begun < 5
    assert slow.lines == []
    slow.go.set()
    writer.close()
    assert slow.lines == [b"x\n"] * 100


def test_what_is_too_much_is_dropped_and_counted() -> None:
    slow = Slow()
    writer = LogWriter(slow.write, lost)
    writer.put(b"first\n")
    while writer._waiting:
        time.sleep(0.001)
    for _ in range(log_writer._MOST_WAITING + 7):
        writer.put(b"x\n")
    slow.go.set()
    writer.close()
    assert slow.lines.count(b"x\n") == log_writer._MOST_WAITING
    assert b"lost 7\n" in slow.lines


def test_a_reader_that_left_stops_nobody() -> None:
    reader, end = os.pipe()
    writer = LogWriter(write_to(end), lost)
    os.close(reader)
    writer.put(b"x\n")
    writer.flush()
    writer.put(b"y\n")
    writer.close()
    os.close(end)


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    reader, end = os.pipe()
    os.set_blocking(end, False)
    data = b"x" * 200_000
    got = bytearray()

    def read() -> None:
        while len(got) < len(data):
            got.extend(os.read(reader, 65_536))

    thread = threading.Thread(target=read)
    thread.start()
    write_to(end)([data])
    thread.join(10)
    assert bytes(got) == data
    os.close(reader)
    os.close(end)
