"""Tests of the audit chain's hash and of its canonical JSON."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chain import GENESIS, canonical, entry_hash

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
_BODIES = st.dictionaries(st.text(), _JSON, max_size=5)


def test_the_hash_is_made_as_documented() -> None:
    message = (
        b"chatvault/audit/v1\0"
        + bytes(range(32))
        + (7).to_bytes(8, "big")
        + (1_795_003_200_000).to_bytes(8, "big")
        + b"token.added"
        + b"\0"
        + b'{"name":"phone"}'
    )
    digest = entry_hash(
        bytes(range(32)), seq=7, ts_ms=1_795_003_200_000, kind="token.added", body=b'{"name":"phone"}'
    )
    assert digest == hashlib.sha256(message).digest()


def test_the_first_entry_follows_thirty_two_zero_bytes() -> None:
    assert GENESIS == b"\0" * 32


@given(
    previous=st.binary(min_size=32, max_size=32),
    seq=st.integers(1, 2**40),
    ts_ms=st.integers(0, 2**47),
    kind=st.text("abc.", min_size=1),
    body=st.binary(min_size=1, max_size=200),
    data=st.data(),
)
def test_any_flipped_byte_changes_the_hash(
    previous: bytes, seq: int, ts_ms: int, kind: str, body: bytes, data: st.DataObject
) -> None:
    whole = entry_hash(previous, seq=seq, ts_ms=ts_ms, kind=kind, body=body)
    part = data.draw(st.sampled_from(["previous", "seq", "ts_ms", "kind", "body"]))

    def flip(value: bytes) -> bytes:
        at = data.draw(st.integers(0, len(value) - 1))
        return value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 127))]) + value[at + 1 :]

    if part == "previous":
        other = entry_hash(flip(previous), seq=seq, ts_ms=ts_ms, kind=kind, body=body)
    elif part == "seq":
        other = entry_hash(previous, seq=seq + 1, ts_ms=ts_ms, kind=kind, body=body)
    elif part == "ts_ms":
        other = entry_hash(previous, seq=seq, ts_ms=ts_ms + 1, kind=kind, body=body)
    elif part == "kind":
        other = entry_hash(previous, seq=seq, ts_ms=ts_ms, kind=flip(kind.encode()).decode(), body=body)
    else:
        other = entry_hash(previous, seq=seq, ts_ms=ts_ms, kind=kind, body=flip(body))
    assert other != whole


@given(_BODIES)
def test_canonical_json_says_the_same_and_sorts_its_keys(body: dict[str, Any]) -> None:
    written = canonical(body)
    assert json.loads(written) == body
    assert json.dumps(json.loads(written), separators=(",", ":"), ensure_ascii=False).encode() == written
    assert list(json.loads(written)) == sorted(body)


def test_text_beyond_ascii_is_written_as_it_is() -> None:
    assert canonical({"b": "über", "a": [1, None, True]}) == '{"a":[1,null,true],"b":"über"}'.encode()


@pytest.mark.parametrize("value", [1.0, float("nan"), b"bytes", {1: "x"}, {"deep": [0.5]}, {1, 2}])
def test_what_is_not_exact_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical({"value": value})
