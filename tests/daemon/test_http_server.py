"""Listening: what can't be listened on is told with what to do about it."""

import socket

import pytest

from chatvault.daemon.http_server import bind
from chatvault.errors import ChatVaultError


def test_an_address_of_another_machine_is_told_apart_from_a_port_that_is_taken() -> None:
    with pytest.raises(ChatVaultError, match="can't be listened on") as caught:
        bind("203.0.113.7", 0)
    assert "address of this machine" in (caught.value.hint or "")


def test_a_port_that_is_taken_says_how_to_see_by_whom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ChatVaultError, match="already in use") as caught:
            bind("127.0.0.1", port)
    assert f"sport = :{port}" in (caught.value.hint or "")
