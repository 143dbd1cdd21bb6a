"""What passes through a machine's network cards, byte for byte."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.namespaces import Machine

_ALL_PROTOCOLS = 0x0003


class Capture:
    """Everything seen so far."""

    def __init__(self, card: socket.socket) -> None:
        self._card = card
        self._packets: list[bytes] = []
        self.is_over = threading.Event()

    def listen(self) -> None:
        """Take packets until told to stop."""
        self._card.settimeout(0.1)
        while not self.is_over.is_set():
            try:
                self._packets.append(self._card.recv(65_536))
            except TimeoutError:
                continue

    def shows(self, secret: str) -> bool:
        """Whether a packet holds `secret`."""
        return any(secret.encode() in packet for packet in self._packets)

    @property
    def size(self) -> int:
        """How many bytes were seen."""
        return sum(map(len, self._packets))


@contextmanager
def captured(machine: Machine) -> Iterator[Capture]:
    """Look at everything that passes through `machine` while this lasts, loopback included."""
    card = machine.call(
        lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    )
    # A burst must not be lost: what was not seen proves nothing.
    card.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
    capture = Capture(card)
    thread = threading.Thread(target=capture.listen, name="capture")
    thread.start()
    try:
        yield capture
    finally:
        capture.is_over.set()
        thread.join()
        card.close()
