"""Undoing gzip and deflate that came although nobody asked, piece by piece and in bounded memory.

No output piece is larger than `MAX_PIECE`, however much a bomb unfolds to: what is left waits inside, and
whoever collects pieces has a limit of their own.
"""

import zlib

from chatvault.errors import ProviderBroke, ProviderFailed

MAX_PIECE = 1 << 20

_GZIP, _ZLIB, _RAW = 31, 15, -15


class Decoder:
    """An incremental decoder for one answer from the server that `label` names."""

    __slots__ = ("_inner", "_is_gzip", "_label", "_pending")

    def __init__(self, encoding: str, label: str) -> None:
        self._is_gzip = encoding.endswith("gzip")
        self._inner = zlib.decompressobj(_GZIP) if self._is_gzip else None
        self._pending = b""
        self._label = label

    @property
    def has_pending(self) -> bool:
        """Whether `decode(b"")` may have more to give."""
        return self._inner is not None and bool(self._pending)

    def decode(self, data: bytes) -> bytes:
        """Return what is readable so far, about `MAX_PIECE` bytes at most. Raises ProviderFailed."""
        data, self._pending = self._pending + data, b""
        if self._inner is None:
            if len(data) < 2:
                self._pending = data
                return b""
            self._inner = zlib.decompressobj(_ZLIB if _is_wrapped(data) else _RAW)
        if self._inner.eof:
            if not self._is_gzip or not data.strip(b"\0"):
                return b""
            # A gzip file may hold several members, one after the other (RFC 1952, 2.2).
            self._inner = zlib.decompressobj(_GZIP)
        try:
            out = self._inner.decompress(data, MAX_PIECE)
            self._pending = self._inner.unconsumed_tail or self._inner.unused_data
            if len(out) == MAX_PIECE and not self._pending:
                # A few symbols may still be inside although all input is taken.
                out += self._inner.decompress(b"", MAX_PIECE)
        except zlib.error as exc:
            raise ProviderFailed(f"{self._label}: the answer can't be decompressed") from exc
        return out

    def finish(self) -> None:
        """Check that the compressed stream came whole. Raises ProviderBroke."""
        if self._inner is None or not self._inner.eof:
            raise ProviderBroke(f"{self._label}: the compressed answer broke off")


def _is_wrapped(data: bytes) -> bool:
    """Tell zlib's wrapping, which "deflate" means (RFC 9110, 8.4.1.2), from the bare stream some send."""
    return data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0


def decoder_for(headers: list[tuple[bytes, bytes]], label: str) -> Decoder | None:
    """Return the decoder the headers call for, if any. Raises ProviderFailed for what we can't undo."""
    encodings = [
        coding
        for name, value in headers
        if name == b"content-encoding"
        for coding in value.decode("latin-1").lower().replace(",", " ").split()
        if coding != "identity"
    ]
    if not encodings:
        return None
    if len(encodings) > 1 or encodings[0] not in ("gzip", "x-gzip", "deflate"):
        raise ProviderFailed(
            f"{label}: the answer is compressed with {' and '.join(encodings)[:80]}, which was not asked for",
            hint="a proxy on the way that compresses must leave `accept-encoding: identity` alone",
        )
    return Decoder(encodings[0], label)
