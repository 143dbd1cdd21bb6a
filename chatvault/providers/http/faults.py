"""What can go wrong between here and an upstream, as errors that name the host and never a credential.

Each is one of the tree in `chatvault.errors`; the finer types say in which phase it happened.
"""

import errno
import socket
import ssl

from chatvault.errors import (
    ProviderBroke,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    ProviderUnreachable,
)


class NotConnected(ProviderUnreachable):
    """No connection came about."""


class ProxyRefused(NotConnected):
    """The proxy would not make the connection, or can't be used."""


class Disconnected(ProviderUnreachable):
    """The connection ended before the answer's status and headers were there."""

    may_be_billed = True


class ConnectTimedOut(ProviderTimeout):
    """Name look-up, TCP, proxy and TLS together took too long."""

    may_be_billed = False


class WriteTimedOut(ProviderTimeout):
    """The other side stopped taking the request's bytes."""

    may_be_billed = False


def seconds(value: float) -> str:
    """Return a duration as people write it: `10 s`, `0.5 s`."""
    return f"{value:g} s"


def connect_timed_out(label: str, timeout: float | None) -> ConnectTimedOut:
    """Say that no connection came about in time; None is the system's own limit."""
    after = f" within {seconds(timeout)}" if timeout is not None else " in the time the system allows"
    return ConnectTimedOut(
        f"{label}: no connection{after}", hint="is the address right, the host up, and no firewall between?"
    )


def not_connected(label: str, exc: OSError) -> ProviderUnreachable:
    """Say why a connection did not come about, and what to look at."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return NotConnected(
            f"{label}: its certificate is not trusted: {getattr(exc, 'verify_message', exc)}",
            hint="a CA of your own can be named in SSL_CERT_FILE",
        )
    if isinstance(exc, ssl.SSLError):
        reason = (getattr(exc, "reason", None) or "handshake failed").replace("_", " ").lower()
        return NotConnected(
            f"{label}: no TLS connection: {reason}",
            hint="does it speak https there? http:// and https:// are easily mixed up",
        )
    if isinstance(exc, socket.gaierror):
        return NotConnected(
            f"{label}: the host's name was not found", hint="is the name spelt right, and does DNS work?"
        )
    if isinstance(exc, ConnectionRefusedError):
        return NotConnected(f"{label}: connection refused", hint="is it running?")
    if isinstance(exc, ConnectionResetError | ConnectionAbortedError):
        return NotConnected(
            f"{label}: the connection was closed before it was ready", hint="is it the right port?"
        )
    if exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return NotConnected(f"{label}: there is no way to this host", hint="is the network up?")
    if exc.errno in (errno.EMFILE, errno.ENFILE):
        return NotConnected(
            f"{label}: no connection: too many open files", hint="raise the limit of open files"
        )
    return NotConnected(f"{label}: no connection: {exc.strerror or type(exc).__name__}")


def timed_out(label: str, limit: float, *, has_head: bool) -> ProviderTimeout:
    """Say that the answer, or what should have followed of it, did not come."""
    what = "the answer fell silent" if has_head else "no answer"
    return ProviderTimeout(
        f"{label}: {what} for {seconds(limit)}",
        hint="a model that is slow to start needs a longer timeout_seconds",
    )


def write_timed_out(label: str, limit: float) -> ProviderTimeout:
    """Say that the request could not be sent."""
    return WriteTimedOut(f"{label}: it took no more of the request for {seconds(limit)}")


def nonsense(label: str, exc: Exception, *, has_head: bool) -> ProviderError:
    """Say that the bytes that came are not HTTP; the parser knows why."""
    if has_head:
        return ProviderBroke(f"{label}: the answer broke off in nonsense ({exc})")
    return ProviderFailed(
        f"{label}: what it answered is not HTTP ({exc})", hint="is it the right port, and http or https?"
    )


def broken_off(label: str, *, has_begun: bool, has_head: bool) -> ProviderError:
    """Say how far the answer had come when the connection ended."""
    if has_head:
        return ProviderBroke(f"{label}: the answer broke off before its end")
    if has_begun:
        return Disconnected(f"{label}: the connection ended in the middle of the answer's headers")
    return Disconnected(f"{label}: the connection ended before an answer")
