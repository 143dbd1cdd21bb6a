"""The gateway's certificate: loaded, checked, and loaded again when its files change.

A connection takes the context there is when it begins; those that run keep theirs. So a renewed certificate
is in use for the next connection, and no running answer notices.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from chatvault.errors import ConfigError
from chatvault.tunnel.certificate import presented_certificate

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_log = logging.getLogger("chatvault.tls")
_LOOK_SECONDS = 2.0
_HINT = "chatvault tls self-signed makes a pair; server.tls in config.yaml names it"
# (modified in nanoseconds, size, inode) of both files.
_Signature = tuple[tuple[int, int, int], ...]
# OpenSSL's words for a key of another pair, and for one of another kind.
_NOT_A_PAIR = ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself. `fingerprint` is SHA-256 over its DER form, in hex."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str
    issuer: str


class Certificates:
    """A certificate chain and its key, as files.

    Raises ConfigError when they can't be read, don't belong together, or have expired.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._signature = self._look()
        self._context, self.facts = _load(cert, key)

    @property
    def context(self) -> ssl.SSLContext:
        """The context for the next connection."""
        return self._context

    def refresh(self) -> bool:
        """Load the files again if they have changed; return whether they had.

        Raises ConfigError, once per change, when they can't be used: what there was stays in use.
        """
        signature = self._look()
        if signature == self._signature:
            return False
        self._signature = signature
        self._context, self.facts = _load(self._cert, self._key)
        return True

    async def keep_fresh(
        self, tell: Callable[[str | None], None], look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """Look at the files every `look_seconds` for as long as the daemon runs.

        `tell` hears what is wrong with new ones, and None when good ones are in use.
        """
        before = self._signature
        while True:
            await asyncio.sleep(look_seconds)
            now = self._look()
            if now != before:
                # Of two files one is written first: they are read when they have come to rest.
                before = now
                continue
            try:
                if self.refresh():
                    tell(None)
                    _log.info("new certificate, valid until %s", self.facts.not_after.date())
            except ConfigError as exc:
                problem = f"{exc.message}; the certificate from before stays in use"
                tell(problem)
                _log.error("%s", problem)

    def _look(self) -> _Signature:
        found = []
        for path in (self._cert, self._key):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


def read_facts(cert: Path) -> CertificateFacts:
    """Read the first certificate of a chain. Raises ConfigError."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    try:
        chain = x509.load_pem_x509_certificates(cert.read_bytes())
    except OSError as exc:
        raise ConfigError(f"server.tls.cert: {cert} can't be read: {exc.strerror}", hint=_HINT) from exc
    except ValueError as exc:
        raise ConfigError(f"server.tls.cert: {cert} holds no certificate in PEM form", hint=_HINT) from exc
    first = chain[0]
    try:
        return CertificateFacts(
            _names_in(first),
            first.not_valid_before_utc,
            first.not_valid_after_utc,
            first.fingerprint(hashes.SHA256()).hex(),
            first.issuer.rfc4514_string(),
        )
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        # Its parts are decoded when they are asked for, not when it is loaded.
        raise ConfigError(f"server.tls.cert: the certificate in {cert} is damaged", hint=_HINT) from exc


def _names_in(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(str(each.value) for each in found)


def _load(cert: Path, key: Path) -> tuple[ssl.SSLContext, CertificateFacts]:
    facts = read_facts(cert)
    try:
        key.open("rb").close()
    except OSError as exc:
        raise ConfigError(f"server.tls.key: {key} can't be read: {exc.strerror}", hint=_HINT) from exc
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # No client needs it, and each costs us a handshake; OpenSSL before 3.0 takes part in as many as it likes.
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        # Without a password given OpenSSL would ask the terminal for one.
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as exc:
        raise _pair_error(cert, key, exc) from exc
    try:
        presented_certificate(context)
    except ssl.SSLError as exc:
        # OpenSSL loads any kind of key, and then has nothing in common with any client.
        raise ConfigError(
            f"server.tls.cert: no client can be served with a key like that of {cert}",
            hint="ECDSA on P-256 or RSA of 2,048 bits are taken everywhere",
        ) from exc
    if facts.not_after <= datetime.now(UTC):
        raise ConfigError(
            f"server.tls.cert: {cert} expired on {facts.not_after.date()}", hint="renew it, or make a new one"
        )
    return context, facts


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _pair_error(cert: Path, key: Path, exc: Exception) -> ConfigError:
    reason = getattr(exc, "reason", None)
    if reason in _NOT_A_PAIR:
        return ConfigError(f"server.tls: {key} is not the key of {cert}", hint="name the pair's other half")
    if isinstance(exc, ValueError) and not isinstance(exc, ssl.SSLError):
        return ConfigError(
            f"server.tls.key: {key} is encrypted", hint="openssl pkey -in KEY -out KEY.plain; chmod 600"
        )
    if reason is None and isinstance(exc, ssl.SSLError):
        return ConfigError(f"server.tls.key: {key} holds no private key in PEM form", hint=_HINT)
    return ConfigError(f"server.tls: {cert} and {key} can't be used: {reason or exc}", hint=_HINT)
