"""Where `chatvault tls` writes its files, and for which names."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chatvault.cli.context import Context
from chatvault.config.files import ensure_private_folder, write_private
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, ConfigError
from chatvault.gateway import private_ca
from chatvault.gateway.hosts import host_of_url
from chatvault.gateway.tls import read_facts

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, slots=True)
class Made:
    """What was made, and where it lies. `fingerprint` is the authority's."""

    ca: Path
    ca_key: Path
    cert: Path
    key: Path
    names: tuple[str, ...]
    fingerprint: str
    not_after: datetime
    is_new_ca: bool

    def as_json(self) -> JsonObject:
        """Return it for programs."""
        return {
            "ca": str(self.ca),
            "ca_key": str(self.ca_key),
            "cert": str(self.cert),
            "key": str(self.key),
            "names": list(self.names),
            "ca_sha256": self.fingerprint,
            "not_after": self.not_after.isoformat(),
            "is_new_ca": self.is_new_ca,
        }


def make(context: Context, *, names: tuple[str, ...], out: Path | None) -> Made:
    """Make the authority if there is none yet, and a certificate under it.

    Without `names` a certificate that is there already keeps its own. Raises UsageError, ChatVaultError.
    """
    folder = (out or context.places.tls_dir).absolute()
    ca, ca_key, cert, key = (folder / name for name in ("ca.crt", "ca.key", "server.crt", "server.key"))
    now = datetime.now(UTC)
    names = names or _names_before(cert)
    named = (*names, *_names_in_settings(context), *_LOOPBACK)
    wanted = tuple(dict.fromkeys(map(private_ca.canonical_name, named)))
    authority = _authority(ca, ca_key)
    try:
        is_new = authority is None or not private_ca.is_usable(authority, now)
    except ChatVaultError as exc:
        raise ChatVaultError(f"{ca}: {exc.message}", hint=f"move {ca.name} and {ca_key.name} away") from exc
    if authority is None or is_new:
        authority = private_ca.new_authority(now)
    made = private_ca.new_certificate(authority, wanted, now=now)
    ensure_private_folder(folder)
    if is_new:
        write_private(ca_key, authority.key)
        write_private(ca, authority.cert)
    # The certificate last: the daemon, which looks for changes, takes the pair when it is whole.
    write_private(key, made.key)
    write_private(cert, made.cert)
    fingerprint, not_after = private_ca.fingerprint(authority.cert), private_ca.not_after(made.cert)
    return Made(ca, ca_key, cert, key, wanted, fingerprint, not_after, is_new)


def _authority(ca: Path, ca_key: Path) -> private_ca.Pair | None:
    try:
        return private_ca.Pair(ca.read_text(), ca_key.read_text())
    except FileNotFoundError as exc:
        if ca.exists() or ca_key.exists():
            raise ChatVaultError(
                f"of {ca.name} and {ca_key.name} one is missing in {ca.parent}", hint="move the other away"
            ) from exc
        return None
    except UnicodeDecodeError as exc:
        raise ChatVaultError(
            f"{ca}: the authority's files can't be read", hint=f"move {ca.name} and {ca_key.name} away"
        ) from exc
    except OSError as exc:
        raise ChatVaultError(
            f"{exc.filename} can't be read: {exc.strerror}", hint="check who owns it"
        ) from exc


def _names_before(cert: Path) -> tuple[str, ...]:
    try:
        return read_facts(cert).names
    except ConfigError:
        return ()


def _names_in_settings(context: Context) -> tuple[str, ...]:
    try:
        settings = context.settings()
    except ConfigError:
        # Without usable settings there is still --name.
        return ()
    found = [settings.tunnel.host, settings.server.host]
    if settings.server.public_url:
        found.insert(0, host_of_url(settings.server.public_url))
    return tuple(each for each in found if each and each not in _EVERYWHERE)
