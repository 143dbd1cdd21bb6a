"""What an error means for the link, in words."""

import errno
import socket

import asyncssh
import pytest

from chatvault.core.backoff import Kind
from chatvault.tunnel.faults import explain


@pytest.mark.parametrize(
    ("error", "kind", "word"),
    [
        (asyncssh.HostKeyNotVerifiable("changed"), "permanent", "another host key"),
        (asyncssh.PermissionDenied("no"), "permanent", "refused the tunnel's key"),
        (asyncssh.KeyExchangeFailed("none"), "permanent", "no common algorithm"),
        (asyncssh.KeyExchangeFailed("Key exchange hash mismatch"), "broken", "damaged on the way"),
        (asyncssh.KeyImportError("bad"), "permanent", "can't be used"),
        (FileNotFoundError(2, "no", "/x/id_ed25519"), "permanent", "/x/id_ed25519 is missing"),
        (PermissionError(13, "no", "/x/id_ed25519"), "permanent", "can't be read"),
        (
            IsADirectoryError(21, "Is a directory", "/x/id_ed25519"),
            "permanent",
            "can't be read: Is a directory",
        ),
        (socket.gaierror(-2, "Name or service not known"), "silent", "can't be resolved"),
        (TimeoutError(), "silent", "does not answer"),
        (ConnectionRefusedError(), "refused", "refuses"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "silent", "no way"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "silent", "no way"),
        (ConnectionResetError(104, "reset"), "broken", "broke"),
        (asyncssh.ConnectionLost("Server not responding to keepalive"), "silent", "gone silent"),
        (asyncssh.ConnectionLost("Connection lost"), "broken", "was lost"),
        (asyncssh.DisconnectError(11, "bye"), "broken", "ended the connection"),
        (ValueError("odd"), "broken", "odd"),
    ],
)
def test_every_error_has_its_kind_and_its_words(error: Exception, kind: Kind, word: str) -> None:
    fault = explain(error, relay="203.0.113.5")
    assert fault.kind == kind
    assert word in fault.reason
    assert fault.is_permanent == (kind == "permanent")
    if fault.is_permanent:
        assert fault.hint
