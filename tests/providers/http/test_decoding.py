import gzip
import itertools
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatvault.errors import ProviderBroke, ProviderFailed
from chatvault.providers.http.decoding import MAX_PIECE, Decoder, decoder_for


def bare(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


FORMS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress}


def drain(decoder: Decoder, pieces: list[bytes]) -> bytes:
    out = b""
    for piece in pieces:
        out += decoder.decode(piece)
        while decoder.has_pending:
            out += decoder.decode(b"")
    decoder.finish()
    return out


@pytest.mark.parametrize("form", [*FORMS, "bare"])
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=6))
def test_any_cut_of_the_bytes_decodes_alike(form: str, data: bytes, cuts: list[int]) -> None:
    packed = bare(data) if form == "bare" else FORMS[form](data)
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    pieces = [packed[a:b] for a, b in itertools.pairwise(edges)]
    assert drain(Decoder("deflate" if form == "bare" else form, "host:1"), pieces) == data


def test_several_members_and_padding_are_one_stream() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0"
    assert drain(Decoder("gzip", "host:1"), [packed[:7], packed[7:]]) == b"one two"


def test_a_flushed_part_is_readable_at_once() -> None:
    packer = zlib.compressobj(wbits=31)
    decoder = Decoder("gzip", "host:1")
    assert decoder.decode(packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)) == b"data: 1\n\n"


def test_a_bomb_unfolds_in_bounded_pieces() -> None:
    packed = gzip.compress(bytes(20 * MAX_PIECE), 9)
    assert len(packed) < 32 * 1024
    decoder = Decoder("gzip", "host:1")
    sizes = [len(decoder.decode(packed))]
    while decoder.has_pending:
        sizes.append(len(decoder.decode(b"")))
    assert sum(sizes) == 20 * MAX_PIECE
    assert max(sizes) <= 2 * MAX_PIECE


@pytest.mark.parametrize("form", FORMS)
def test_a_truncated_stream_broke_off(form: str) -> None:
    decoder = Decoder(form, "host:1")
    decoder.decode(FORMS[form](b"x" * 100)[:-3])
    with pytest.raises(ProviderBroke, match="host:1"):
        decoder.finish()


def test_nonsense_is_refused() -> None:
    with pytest.raises(ProviderFailed, match="host:1"):
        Decoder("gzip", "host:1").decode(b"not gzip at all")


@pytest.mark.parametrize(
    ("value", "is_decoded"),
    [
        (b"gzip", True),
        (b"GZIP", True),
        (b"x-gzip", True),
        (b"deflate", True),
        (b"identity", False),
        (b"", False),
    ],
)
def test_the_header_decides(value: bytes, is_decoded: bool) -> None:
    assert (decoder_for([(b"content-encoding", value)], "host:1") is not None) is is_decoded


@pytest.mark.parametrize("value", [b"br", b"zstd", b"gzip, gzip", b"gzip, br", b"x" * 500])
def test_what_cannot_be_undone_is_refused_clearly(value: bytes) -> None:
    with pytest.raises(ProviderFailed, match="compressed with") as caught:
        decoder_for([(b"content-encoding", value)], "host:1")
    assert len(str(caught.value)) < 250
