import errno
import socket
import ssl

import pytest

from chatvault.errors import ProviderBroke, ProviderFailed, ProviderTimeout, ProviderUnreachable
from chatvault.providers.http import faults


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "connection refused"),
        (ConnectionResetError(), "closed before it was ready"),
        (socket.gaierror(-2, "Name or service not known"), "name was not found"),
        (OSError(errno.ENETUNREACH, "x"), "no way to this host"),
        (OSError(errno.EHOSTUNREACH, "x"), "no way to this host"),
        (OSError(errno.EMFILE, "x"), "too many open files"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), "no TLS connection"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError(), "OSError"),
    ],
)
def test_a_failed_connection_says_why(exc: OSError, words: str) -> None:
    error = faults.not_connected("host:1", exc)
    assert isinstance(error, ProviderUnreachable)
    assert str(error).startswith("host:1: ")
    assert words in str(error)


def test_each_failure_is_of_the_type_that_says_whether_to_try_elsewhere() -> None:
    begun = faults.broken_off("h:1", has_begun=True, has_head=True)
    assert isinstance(begun, ProviderBroke)
    assert not begun.is_retryable
    for error in (
        faults.broken_off("h:1", has_begun=True, has_head=False),
        faults.broken_off("h:1", has_begun=False, has_head=False),
        faults.nonsense("h:1", ValueError(), has_head=False),
        faults.timed_out("h:1", 120.0, has_head=False),
        faults.connect_timed_out("h:1", 10.0),
        faults.connect_timed_out("h:1", None),
        faults.write_timed_out("h:1", 30.0),
    ):
        assert error.is_retryable
        assert str(error).startswith("h:1: ")
    assert isinstance(faults.nonsense("h:1", ValueError(), has_head=False), ProviderFailed)
    assert isinstance(faults.nonsense("h:1", ValueError(), has_head=True), ProviderBroke)
    assert isinstance(faults.timed_out("h:1", 120.0, has_head=True), ProviderTimeout)


def test_durations_read_like_durations() -> None:
    assert [faults.seconds(value) for value in (120.0, 0.5, 10)] == ["120 s", "0.5 s", "10 s"]
