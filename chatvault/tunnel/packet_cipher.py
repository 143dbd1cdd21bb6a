"""One direction of an SSH link's AES-GCM (RFC 5647), its key set up once instead of once for each packet."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG_BYTES = 16
_BLOCK_BYTES = 16
_LEAST_PADDING = 4
_COUNTER_MASK = (1 << 64) - 1


class PacketCipher:
    """Seal or open the packets of one direction, in order; `nonce` is that of the next one.

    The three methods at the end are those that asyncssh calls a cipher by.
    """

    __slots__ = ("_aead", "_count", "_fixed", "_padding")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._aead = AESGCM(key)
        self._fixed = nonce[:4]
        self._count = int.from_bytes(nonce[4:], "big")
        # RFC 4253, 6 wants random bytes. No two packets show the same ones, since they are encrypted.
        self._padding = os.urandom(_LEAST_PADDING + _BLOCK_BYTES)

    def seal(self, head: bytes, data: bytes) -> tuple[bytes, bytes]:
        """Return the next packet, its payload `head` and `data`: the length, in clear, and the rest."""
        padding = _LEAST_PADDING + -(1 + len(head) + len(data) + _LEAST_PADDING) % _BLOCK_BYTES
        plain = b"%c%b%b%b" % (padding, head, data, self._padding[:padding])
        length = len(plain).to_bytes(4, "big")
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) & _COUNTER_MASK
        return length, self._aead.encrypt(nonce, plain, length)

    def look(self, length: bytes, sealed: bytes) -> bytes | None:
        """Return the next packet without moving on from it, None where it is not genuine.

        It begins with the padding's length and ends with the padding.
        """
        try:
            return self._aead.decrypt(self._fixed + self._count.to_bytes(8, "big"), sealed, length)
        except InvalidTag:
            return None

    def move_on(self) -> None:
        """Let the packet after this one be the next."""
        self._count = (self._count + 1) & _COUNTER_MASK

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        """Return the next packet with its tag, and nothing for a MAC."""
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self.move_on()
        return header + self._aead.encrypt(nonce, packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        """Return a packet's beginning as it is, and the length in it."""
        return first_block, first_block[:header_len]

    def decrypt_packet(
        self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes
    ) -> bytes | None:
        """Return the next packet, None where it is not genuine."""
        plain = self.look(first[:header_len], first[header_len:] + rest + mac)
        self.move_on()
        return plain
