"""Sockets that systemd hands over."""

import fcntl
import os
import socket
from collections.abc import Iterator

import pytest

from chatvault.daemon.activation import addresses_of, inherited_listeners
from chatvault.errors import ChatVaultError

_FIRST = 200


def hand_over(*sockets: socket.socket) -> dict[str, str]:
    """Lay the sockets at the descriptors from `_FIRST` on, as systemd does from 3 on."""
    for at, each in enumerate(sockets):
        os.dup2(each.fileno(), _FIRST + at)
        each.close()
    return {"LISTEN_PID": "7", "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": "http:http"}


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    for fd in (_FIRST, _FIRST + 1):
        try:
            os.close(fd)
        except OSError:
            pass


def test_listening_sockets_are_taken_over() -> None:
    first, second = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    addresses = [first.getsockname(), second.getsockname()]

    taken = inherited_listeners(hand_over(first, second), pid=7, first_fd=_FIRST)

    assert addresses_of(taken) == addresses
    for each in taken:
        assert not each.getblocking()
        assert fcntl.fcntl(each.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        each.close()


@pytest.mark.parametrize(
    "environ", [{}, {"LISTEN_PID": "8", "LISTEN_FDS": "1"}, {"LISTEN_PID": "7", "LISTEN_FDS": "many"}]
)
def test_what_is_meant_for_another_process_is_left_alone(environ: dict[str, str]) -> None:
    assert inherited_listeners(environ, pid=7) == []


def test_a_socket_the_gateway_cannot_serve_on_is_an_error() -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with pytest.raises(ChatVaultError, match="does not listen on a port"):
        inherited_listeners(hand_over(udp), pid=7, first_fd=_FIRST)


def test_a_descriptor_that_is_not_there_is_an_error() -> None:
    environ = {"LISTEN_PID": "7", "LISTEN_FDS": "1"}
    with pytest.raises(ChatVaultError, match="no socket"):
        inherited_listeners(environ, pid=7, first_fd=_FIRST + 50)
