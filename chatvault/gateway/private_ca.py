"""A certificate authority of one's own, and certificates that it signs: PEM in, PEM out, no files.

Phones take an authority by hand, once; certificates under it can then be made anew at any time. The rules are
those of the strictest client (Apple's, for authorities added by hand): a subjectAltName, serverAuth, and at
most 825 days.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chatvault.errors import ChatVaultError, UsageError

_CA_DAYS = 3650
_DAYS = 820
# A phone's clock may be behind ours.
_BACKDATED = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, in PEM. The key is a secret: `repr` leaves it out."""

    cert: str
    key: str

    def __repr__(self) -> str:
        return "Pair(…)"


def new_authority(now: datetime) -> Pair:
    """Make an authority; it signs servers' certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ChatVault CA {now:%Y-%m-%d}")])
    certificate = (
        _builder(name, name, key.public_key(), now=now, days=_CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def is_usable(authority: Pair, now: datetime) -> bool:
    """Whether an authority will outlive a certificate made now. Raises ChatVaultError for what is none."""
    certificate, key = _loaded(authority)
    if certificate.public_key() != key.public_key():
        raise ChatVaultError("the authority's key is not its certificate's", hint="move both files away")
    return certificate.not_valid_after_utc > now + timedelta(days=_DAYS)


def new_certificate(authority: Pair, names: Iterable[str], *, now: datetime) -> Pair:
    """Make a server's certificate for host names and IP addresses. Raises UsageError for what is neither."""
    ca, ca_key = _loaded(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = [_general_name(name) for name in dict.fromkeys(map(canonical_name, names))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ChatVault")])
    certificate = (
        _builder(subject, ca.subject, key.public_key(), now=now, days=_DAYS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError) as exc:
        raise ChatVaultError("the authority's key is not its certificate's") from exc
    return _pair(certificate, key)


def canonical_name(name: str) -> str:
    """Return a host name or IP address in the one form a certificate has for it: `::1` for `[0::1]`.

    Raises UsageError for what is neither.
    """
    try:
        return str(ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name))
    except ValueError:
        pass
    try:
        ascii_name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        ascii_name = ""
    if not ascii_name or not all(char.isalnum() or char in "-._*" for char in ascii_name):
        raise UsageError(f"{name!r} is neither a host name nor an IP address", hint="--name gw.example.org")
    return ascii_name.lower()


def fingerprint(cert: str) -> str:
    """Return a certificate's SHA-256 fingerprint as phones show it: pairs of hex digits with colons."""
    return x509.load_pem_x509_certificate(cert.encode()).fingerprint(hashes.SHA256()).hex(":").upper()


def not_after(cert: str) -> datetime:
    """Return when a certificate expires."""
    return x509.load_pem_x509_certificate(cert.encode()).not_valid_after_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Pair(certificate.public_bytes(pem).decode(), secret.decode())


def _loaded(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.cert.encode())
        key = serialization.load_pem_private_key(pair.key.encode(), password=None)
    except (ValueError, TypeError) as exc:
        raise ChatVaultError("the authority's files can't be read", hint="move both files away") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ChatVaultError("the authority's key is not one that was made here", hint="move both files away")
    return certificate, key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
