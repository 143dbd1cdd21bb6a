"""Why a link could not be made or was lost: in words, with what to do, and whether trying again can help."""

import asyncio
import errno
import socket
from dataclasses import dataclass

import asyncssh

from chatvault.core.backoff import Kind
from chatvault.errors import ChatVaultError

_NO_WAY = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
_SETUP = "chatvault tunnel setup USER@HOST"


@dataclass(frozen=True, slots=True)
class Fault:
    """What ended an attempt or a link: how it may be retried, why it ended, and what to do about it."""

    kind: Kind
    reason: str
    hint: str | None = None

    @property
    def is_permanent(self) -> bool:
        """Whether only a person can mend it."""
        return self.kind == "permanent"


class LinkFault(ChatVaultError):
    """An attempt that ended with a fault found by ChatVault itself."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason, hint=fault.hint)
        self.fault = fault


# What an attempt may end with; `explain` has words for each.
ERRORS = (OSError, asyncssh.Error, LinkFault, ValueError)
CHANGED = Fault("broken", "the settings have changed")
STOPS = Fault("broken", "the daemon stops")
NO_TLS = Fault(
    "permanent",
    "the tunnel stays down without TLS: access tokens would cross the internet in clear",
    "chatvault tls self-signed, and server.tls in the settings; or tunnel.allow_plain_http: true",
)


def explain(exc: BaseException, *, relay: str) -> Fault:
    """Say what `exc` means for the link to `relay`."""
    if isinstance(exc, LinkFault):
        return exc.fault
    # A missing key file is an OSError too: it must not pass for the network's.
    for of_its_kind in (_of_login, _of_files, _of_network):
        found = of_its_kind(exc, relay)
        if found is not None:
            return found
    if isinstance(exc, asyncssh.Error):
        return Fault("broken", f"{relay} ended the connection: {_text(exc)}")
    return Fault("broken", f"{relay}: {type(exc).__name__}: {_text(exc)}")


def _of_login(exc: BaseException, relay: str) -> Fault | None:
    if isinstance(exc, asyncssh.HostKeyNotVerifiable):
        return Fault(
            "permanent",
            f"{relay} shows another host key than the one pinned: it is a new one, or someone stands between",
            f"compare its fingerprint on the relay itself, then: {_SETUP} --new-host-key",
        )
    if isinstance(exc, asyncssh.PermissionDenied):
        return Fault(
            "permanent",
            f"{relay} refused the tunnel's key",
            f"{_SETUP}, or add what `chatvault tunnel key` prints to the relay user's authorized keys",
        )
    if isinstance(exc, asyncssh.KeyExchangeFailed) and "mismatch" in str(exc):
        # One changed bit does that, before anything is signed: it must not stop the tunnel for good.
        return Fault(
            "broken",
            f"what {relay} said first was damaged on the way: {_text(exc)}",
            "where that goes on, something in between changes what is sent",
        )
    if isinstance(exc, asyncssh.KeyExchangeFailed | asyncssh.ProtocolNotSupported):
        return Fault(
            "permanent",
            f"{relay} and ChatVault have no common algorithm: {_text(exc)}",
            "the relay needs OpenSSH 7.8 or newer",
        )
    if isinstance(exc, asyncssh.KeyImportError | asyncssh.KeyEncryptionError):
        return Fault(
            "permanent",
            f"the tunnel's key can't be used: {_text(exc)}",
            "move it away; `chatvault tunnel key` makes another",
        )
    return None


def _of_files(exc: BaseException, relay: str) -> Fault | None:
    if isinstance(exc, FileNotFoundError):
        return Fault("permanent", f"{exc.filename} is missing", f"chatvault tunnel key, then {_SETUP}")
    if isinstance(exc, OSError) and exc.filename:
        return Fault(
            "permanent", f"{exc.filename} can't be read: {exc.strerror}", "check what it is, and who owns it"
        )
    return None


def _of_network(exc: BaseException, relay: str) -> Fault | None:
    if isinstance(exc, socket.gaierror):
        return Fault(
            "silent",
            f"{relay}: the name can't be resolved ({exc.strerror})",
            "is there a network? Of an alias in ~/.ssh/config the settings need its HostName",
        )
    if isinstance(exc, TimeoutError | asyncio.TimeoutError):
        return Fault(
            "silent", f"{relay} does not answer", "is the relay up, and its SSH port open to this machine?"
        )
    if isinstance(exc, ConnectionRefusedError):
        return Fault("refused", f"{relay} refuses connections", "is sshd running there, on that port?")
    if isinstance(exc, OSError) and exc.errno in _NO_WAY:
        return Fault("silent", f"there is no way to {relay}: {exc.strerror}", "is this machine's network up?")
    if isinstance(exc, asyncssh.ConnectionLost):
        if "keepalive" in str(exc):
            return Fault("silent", f"{relay} has gone silent")
        return Fault("broken", f"the connection to {relay} was lost")
    if isinstance(exc, OSError):
        return Fault("broken", f"the connection to {relay} broke: {exc.strerror or _text(exc)}")
    return None


def _text(exc: BaseException) -> str:
    return " ".join(str(exc).split())[:200] or type(exc).__name__
