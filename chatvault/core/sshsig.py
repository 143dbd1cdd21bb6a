"""OpenSSH's signature format, so that `ssh-keygen -Y verify` can check what ChatVault signs.

https://cvsweb.openbsd.org/src/usr.bin/ssh/PROTOCOL.sshsig: what is signed is a short blob that names the
purpose (the namespace) and holds the message's SHA-512; the armored file adds the public key.
"""

import binascii
import hashlib
import struct
from itertools import pairwise

ALGORITHM = b"ssh-ed25519"
_MAGIC = b"SSHSIG"
_HASH = b"sha512"
_LINE_CHARS = 70
_KEY_BYTES = 32


def signed_blob(namespace: str, digest: bytes) -> bytes:
    """Return the bytes that are signed for a message whose SHA-512 is `digest`."""
    return _MAGIC + _string(namespace.encode()) + _string(b"") + _string(_HASH) + _string(digest)


def public_blob(public_key: bytes) -> bytes:
    """Return an ed25519 public key (32 bytes) as SSH writes it."""
    return _string(ALGORITHM) + _string(public_key)


def public_line(public_key: bytes) -> str:
    """Return `ssh-ed25519 AAAA…`."""
    return f"{ALGORITHM.decode()} {_base64(public_blob(public_key))}"


def public_key_of(line: str) -> bytes | None:
    """Return the ed25519 key in a line with `ssh-ed25519 AAAA…` somewhere in it; None where there is none."""
    words = line.split()
    head = public_blob(b"")[:-4]
    for kind, text in pairwise(words):
        if kind != ALGORITHM.decode():
            continue
        try:
            blob = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:
            return None
        key = blob[len(head) + 4 :]
        return key if blob == public_blob(key) and len(key) == _KEY_BYTES else None
    return None


def fingerprint(public_key: bytes) -> str:
    """Return what `ssh-keygen -l` shows of a key: `SHA256:…`."""
    return "SHA256:" + _base64(hashlib.sha256(public_blob(public_key)).digest()).rstrip("=")


def armored(public_key: bytes, namespace: str, signature: bytes) -> str:
    """Return the signature file that `ssh-keygen -Y verify -s` takes."""
    blob = (
        _MAGIC
        + struct.pack(">I", 1)
        + _string(public_blob(public_key))
        + _string(namespace.encode())
        + _string(b"")
        + _string(_HASH)
        + _string(_string(ALGORITHM) + _string(signature))
    )
    text = _base64(blob)
    lines = [text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _base64(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode()
