"""Prompts and answers, kept only where that was asked for: encrypted, apart from the chain, and not for long.

Each row is sealed with AES-256-GCM under the key of its day. The keys lie outside the database, one file a
day; when a day's time is up its key is deleted, and whatever copies of the rows there are, in backups too,
can never be read again.
"""

import secrets
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from chatvault.errors import StoreError
from chatvault.store import faults
from chatvault.store.private_file import write_once
from chatvault.store.transaction import Transaction

_NAME = "content-%Y%m%d.key"
_PATTERN = "content-????????.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_BYTES = 64 << 20
_AT_ONCE = 500


class Content(msgspec.Struct, frozen=True):
    """What a client sent and what it was answered, as they went over the wire."""

    request: str
    answer: str


class Sealed(NamedTuple):
    """A content that nobody can read without the key `key_id`."""

    request_id: str
    ts_ms: int
    key_id: str
    nonce: bytes
    data: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Content).decode


class ContentVault:
    """Seal and open contents with the keys in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: tuple[str, bytes] = ("", b"")

    def seal(self, request_id: str, content: Content, *, now_ms: int) -> Sealed:
        """Encrypt the content of a request. Raises StoreError."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id = datetime.fromtimestamp(now_ms // 1000, UTC).strftime(_NAME)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        # Bound to its request: a row can't be passed off as another one's.
        data = AESGCM(self._key(key_id)).encrypt(
            nonce, zlib.compress(_encode(content), 1), request_id.encode()
        )
        return Sealed(request_id, now_ms, key_id, nonce, data)

    def open(self, sealed: Sealed) -> Content:
        """Decrypt. Raises StoreError where its key is gone, or the row was changed."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        path = self._folder / Path(sealed.key_id).name
        try:
            cipher = AESGCM(path.read_bytes())
            text = cipher.decrypt(sealed.nonce, sealed.data, sealed.request_id.encode())
            inflate = zlib.decompressobj()
            return _decode(inflate.decompress(text, _MOST_BYTES))
        except FileNotFoundError as error:
            raise StoreError(
                "its time is up: the key is gone", hint="audit.content_days keeps them"
            ) from error
        except OSError as error:
            raise faults.os_error(error, path) from error
        except (InvalidTag, ValueError, zlib.error, msgspec.DecodeError) as error:
            raise StoreError("it can't be decrypted: it was changed, or its key was") from error

    def expire(self, *, days: int, now_ms: int) -> list[str]:
        """Delete the keys of days whose time is up, and return their ids. Raises StoreError."""
        oldest = datetime.fromtimestamp(now_ms // 1000, UTC) - timedelta(days=days + 1)
        gone = []
        for path in sorted(self._folder.glob(_PATTERN)):
            if path.name <= oldest.strftime(_NAME):
                try:
                    path.unlink()
                except OSError as error:
                    raise faults.os_error(error, path) from error
                gone.append(path.name)
        return gone

    def _key(self, key_id: str) -> bytes:
        if self._known[0] != key_id:
            path = self._folder / key_id
            if not path.exists():
                write_once(path, secrets.token_bytes(_KEY_BYTES))
            try:
                self._known = (key_id, path.read_bytes())
            except OSError as error:
                raise faults.os_error(error, path) from error
        return self._known[1]


def put(tx: Transaction, sealed: Sealed) -> None:
    """Keep a content."""
    tx.execute("INSERT INTO content(request_id, ts_ms, key_id, nonce, sealed) VALUES (?,?,?,?,?)", sealed)


def read(tx: Transaction, request_id: str) -> Sealed:
    """Return what is kept of a request; that it was read stands in the chain. Raises StoreError."""
    found = tx.execute(
        "SELECT request_id, ts_ms, key_id, nonce, sealed FROM content WHERE request_id = ?", (request_id,)
    ).fetchone()
    if found is None:
        raise StoreError(
            f"nothing is kept of {request_id}",
            hint="tokens add --content errors|full keeps prompts and answers",
        )
    tx.append("content.read", {}, request_id=request_id)
    return Sealed(*found)


def forget(tx: Transaction, *, days: int) -> int:
    """Delete some rows whose time is up; returns how many, 0 when all are gone."""
    oldest = datetime.fromtimestamp(tx.now_ms // 1000, UTC) - timedelta(days=days + 1)
    return tx.execute(
        "DELETE FROM content WHERE request_id IN"
        " (SELECT request_id FROM content WHERE key_id <= ? ORDER BY key_id LIMIT ?)",
        (oldest.strftime(_NAME), _AT_ONCE),
    ).rowcount
