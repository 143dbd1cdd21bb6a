"""Events cut out of bytes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.sse import EventFramer, EventSplitter, EventTooLarge, payloads


def split(stream: bytes, cuts: list[int] | None = None) -> list[bytes]:
    splitter = EventSplitter()
    found: list[bytes] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts or []), len(stream)]
    for start, end in pairwise(edges):
        found += splitter.feed(stream[start:end])
    return found + splitter.finish()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b": ping\ndata: a\n\n", [b"a"]),
        (b"event: x\ndata: a\nid: 1\n\n", [b"a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data\n\n", [b""]),
        (b"data: \n\n", [b""]),
        (b"event: x\n\n", []),
        (b"database: x\n\n", []),
        (b"data: a", [b"a"]),
        (b"data: a\n", [b"a"]),
        (b"data: a\r", [b"a"]),
        (b"\xef\xbb", []),
        (b"", []),
        (b"\r\n\r\n", []),
    ],
)
def test_an_event_is_what_the_standard_says(stream, expected):
    assert split(stream) == expected


_LINES = st.sampled_from(
    [b"data: {}", b"data:x", b"data", b": c", b"event: e", b"", b"", b"", b"\xef\xbb\xbf", b"data: \xc3\xa9"]
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(st.lists(st.tuples(_LINES, _ENDS), max_size=20), st.lists(st.integers(0, 400), max_size=12))
def test_any_cut_of_the_bytes_gives_the_same_events(lines, cuts):
    stream = b"".join(line + end for line, end in lines)
    whole = split(stream)
    assert split(stream, cuts) == whole
    assert split(stream, list(range(len(stream)))) == whole


@given(st.lists(st.tuples(_LINES, _ENDS), max_size=20))
def test_line_ends_make_no_difference(lines):
    plain = b"".join(line + b"\n" for line, _ in lines)
    for end in (b"\r\n", b"\r"):
        assert split(b"".join(line + end for line, _ in lines)) == split(plain)


def test_whole_events_come_at_once_and_as_they_were():
    framer = EventFramer()
    assert framer.feed(b"data: a\n\ndata: b\n\ndata") == b"data: a\n\ndata: b\n\n"
    assert not framer.is_empty
    assert framer.feed(b": c\n") == b""
    assert framer.feed(b"\n") == b"data: c\n\n"
    assert framer.is_empty


def test_an_event_without_end_is_refused():
    framer = EventFramer(limit_bytes=10)
    assert framer.feed(b"data: 1") == b""
    with pytest.raises(EventTooLarge):
        framer.feed(b"23456")


def test_the_limit_holds_for_one_event_and_not_for_the_stream():
    framer = EventFramer(limit_bytes=10)
    for _ in range(10):
        assert framer.feed(b"data: 1\n\n") == b"data: 1\n\n"


def test_payloads_of_nothing_are_none():
    assert payloads(b"") == []
