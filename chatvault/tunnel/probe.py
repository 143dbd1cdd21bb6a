"""The outside check: this daemon dials its own public address and must meet itself there.

A nonce goes out, and what comes back is a mark that only this process can make. The certificate seen on the
way must be our own. So a closed firewall, a port bound to the relay's loopback only, a stranger's listener
and someone in the middle each look different.
"""

import asyncio
import hashlib
import hmac
import socket
import ssl
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

PATH = "/.well-known/chatvault-probe/"
_SECONDS = 8.0
_LONGEST_ANSWER = 16_384
_NONCE_CHARS = 32
_MARK_CHARS = 64
_HEX = set("0123456789abcdef")

Verdict: TypeAlias = Literal["met", "refused", "silent", "stranger", "other_daemon", "intercepted", "no_name"]


class Identity:
    """What this daemon knows itself by: a key made when it started, never stored."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mark(self, nonce: str) -> str | None:
        """Return this daemon's mark on a nonce, None for what is no nonce."""
        if len(nonce) != _NONCE_CHARS or not set(nonce) <= _HEX:
            return None
        return hmac.new(self._key, b"chatvault-probe " + nonce.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Outside:
    """What the outside check met at `url`, in words, and what mends it."""

    url: str
    verdict: Verdict
    detail: str
    fix: str | None = None

    @property
    def is_met(self) -> bool:
        """Whether this daemon met itself."""
        return self.verdict == "met"


async def look_from_outside(
    url: str, identity: Identity, nonce: str, *, certificate: bytes | None, seconds: float = _SECONDS
) -> Outside:
    """Dial `url` and say who answers. `certificate` (DER) is our own, None where we serve plain HTTP.

    Then an https `url` is somebody else's doing, who ends the TLS there: any certificate will do.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        async with asyncio.timeout(seconds):
            is_tls = certificate is not None or parts.scheme == "https"
            status, body, seen = await _ask(host, port, nonce, is_tls=is_tls)
    except (ConnectionRefusedError, TimeoutError) as exc:
        return _unreached(url, host, port, exc)
    except ssl.SSLError as exc:
        return Outside(
            url,
            "stranger",
            f"{host}:{port} does not speak TLS as we do: {exc.reason or exc}",
            _look_there(port),
        )
    except socket.gaierror as exc:
        return Outside(url, "no_name", f"{host} can't be resolved: {exc.strerror}", "check the relay's name")
    except ConnectionResetError:
        return Outside(
            url,
            "silent",
            f"{host}:{port} ends connections at once",
            f"all places may be taken (server.max_connections, …_per_address); else {_look_there(port)}",
        )
    except OSError as exc:
        return Outside(
            url, "silent", f"{host}:{port} can't be reached: {exc.strerror or exc}", _firewall(port)
        )
    except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return Outside(url, "stranger", f"{host}:{port} answers, but not with HTTP", _look_there(port))
    mark = identity.mark(nonce)
    is_marked = status == 200 and len(body) == _MARK_CHARS and set(body) <= _HEX
    is_own = certificate is None or certificate == seen
    return _judge(url, is_met=body == mark, is_marked=is_marked, is_own_certificate=is_own)


def _judge(url: str, *, is_met: bool, is_marked: bool, is_own_certificate: bool) -> Outside:
    if is_met and is_own_certificate:
        return Outside(url, "met", f"{url} leads here")
    if is_met:
        return Outside(
            url,
            "intercepted",
            f"{url} leads here, but with a certificate that is not ours: someone in the middle reads along",
            "take the relay out of use, change the access tokens, and look into who runs it",
        )
    if is_marked:
        return Outside(
            url,
            "other_daemon",
            f"another ChatVault answers at {url}",
            "each daemon needs a relay, or a tunnel.remote_port, of its own",
        )
    return Outside(
        url, "stranger", f"something else answers at {url}", _look_there(urlsplit(url).port or 443)
    )


def _unreached(url: str, host: str, port: int, exc: Exception) -> Outside:
    if isinstance(exc, ConnectionRefusedError):
        return Outside(
            url,
            "refused",
            f"{host}:{port} refuses connections: the relay listens on its own loopback only, or not at all",
            "the relay's sshd needs `GatewayPorts clientspecified`: chatvault tunnel setup USER@HOST",
        )
    return Outside(url, "silent", f"{host}:{port} does not answer", _firewall(port))


def _firewall(port: int) -> str:
    return f"open TCP port {port} in the relay's security group and firewall"


def _look_there(port: int) -> str:
    return f"on the relay, `ss -ltnp 'sport = :{port}'` shows who listens there"


async def _ask(host: str, port: int, nonce: str, *, is_tls: bool) -> tuple[int, str, bytes | None]:
    context: ssl.SSLContext | None = None
    if is_tls:
        # Nothing is believed here: the certificate is compared, byte for byte, with our own.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=host if is_tls else None, limit=_LONGEST_ANSWER
    )
    try:
        tls = writer.get_extra_info("ssl_object")
        seen = tls.getpeercert(binary_form=True) if tls is not None else None
        shown = f"[{host}]" if ":" in host else host
        writer.write(
            f"GET {PATH}{nonce} HTTP/1.1\r\nhost: {shown}:{port}\r\nconnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        version, status, *_ = head.split(b"\r\n", 1)[0].split(b" ")
        if not version.startswith(b"HTTP/1."):
            raise ValueError("not HTTP")
        body = await reader.read(_LONGEST_ANSWER)
        return int(status), body.decode("ascii", "replace").strip(), seen
    finally:
        writer.transport.abort()
