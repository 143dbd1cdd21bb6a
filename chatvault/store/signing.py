"""The audit's signing key, and the keys whose signatures are believed.

All of it lies in a folder beside the database, never in it: `audit_key` (OpenSSH's format, 0600), and
`allowed_signers`, which `ssh-keygen -Y verify` takes as it is and which keeps the public half of every key
this installation has had.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from chatvault.core.checkpoint import NAMESPACE, Checkpoint, Statement
from chatvault.core.sshsig import armored, fingerprint, public_key_of, public_line, signed_blob
from chatvault.errors import StoreError
from chatvault.store.private_file import write_once, write_whole

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE = "audit_key"
SIGNERS_FILE = "allowed_signers"
IDENTITY = "chatvault"
"""The name behind which `allowed_signers` knows our keys."""

EXPORT_NAMESPACE = "chatvault-export"
_NAMESPACES = f"{NAMESPACE},{EXPORT_NAMESPACE}"


class TrustedKeys:
    """Public keys whose signatures are believed, by fingerprint."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self.by_fingerprint: Mapping[str, bytes] = {fingerprint(key): key for key in keys}

    @classmethod
    def read(cls, folder: Path) -> "TrustedKeys":
        """Read `allowed_signers` in `folder`; no file is no key. Raises StoreError."""
        try:
            lines = (folder / SIGNERS_FILE).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"{folder / SIGNERS_FILE} can't be read: {error}") from error
        keys = (public_key_of(line) for line in lines if not line.lstrip().startswith("#"))
        return cls(key for key in keys if key is not None)

    def believes(self, checkpoint: Checkpoint) -> bool:
        """Whether a trusted key has signed `checkpoint`."""
        key = self.by_fingerprint.get(checkpoint.statement.signer)
        return key is not None and _is_signed(key, checkpoint.signature, checkpoint.statement.blob())


class Signer:
    """Sign with the key in `folder`. The key is made when it is first needed, and read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure(self) -> None:
        """Make the key if there is none, and see that it can be read. Raises StoreError."""
        path = self.folder / KEY_FILE
        if not path.exists():
            self._make()
        elif not os.access(path, os.R_OK):
            raise StoreError(f"{path} can't be read", hint=f"see who owns {path}")

    @property
    def public_key(self) -> bytes:
        """The key's public half, 32 bytes. Raises StoreError."""
        return self._key.public_key().public_bytes_raw()

    @property
    def fingerprint(self) -> str:
        """The key's `SHA256:…`. Raises StoreError."""
        return self._fingerprint

    def checkpoint(self, seq: int, digest: bytes, *, ts_ms: int) -> Checkpoint:
        """Sign that entry `seq` of the chain has the hash `digest`. Raises StoreError."""
        statement = Statement(seq, ts_ms, digest, self._fingerprint)
        return Checkpoint(statement, self._key.sign(statement.blob()))

    def sign_file(self, path: Path, namespace: str) -> str:
        """Return the armored signature over a whole file. Raises StoreError, OSError."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha512").digest()
        signature = self._key.sign(signed_blob(namespace, digest))
        return armored(self.public_key, namespace, signature)

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.public_key)

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        # Imported where it is used: it takes 0.1 s, and most commands sign nothing.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key

        self.ensure()
        path = self.folder / KEY_FILE
        try:
            key = load_ssh_private_key(path.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"the audit's key {path} can't be used: {error}",
                hint="put it back from a copy, or move it away: a new one is made, the old ones stay trusted",
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreError(f"the audit's key {path} is no ed25519 key", hint="move it away")
        self._trust(key.public_key().public_bytes_raw())
        return key

    def _make(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        key = Ed25519PrivateKey.generate()
        data = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        # Trusted before it exists: a crash in between must not leave a key nobody believes.
        self._trust(key.public_key().public_bytes_raw())
        write_once(self.folder / KEY_FILE, data)

    def _trust(self, public_key: bytes) -> None:
        if fingerprint(public_key) in TrustedKeys.read(self.folder).by_fingerprint:
            return
        path = self.folder / SIGNERS_FILE
        known = path.read_text("utf-8") if path.exists() else ""
        line = f'{IDENTITY} namespaces="{_NAMESPACES}" {public_line(public_key)}\n'
        write_whole(path, (known + line).encode())


def _is_signed(public_key: bytes, signature: bytes, blob: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, blob)
    except InvalidSignature:
        return False
    return True
