import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import ConfigError
from chatvault.providers.http.head import raw_head, request_head, start_line

START = b"POST /v1 HTTP/1.1\r\n"
FIXED = b"host: h\r\n"


def test_a_head_is_its_lines() -> None:
    head = request_head(START, FIXED, [(b"a", b"1"), (b"B", b"2 3")], length=4)
    assert head == b"POST /v1 HTTP/1.1\r\nhost: h\r\na: 1\r\nB: 2 3\r\ncontent-length: 4\r\n\r\n"


def test_without_a_body_no_length_is_stated() -> None:
    assert request_head(b"GET / HTTP/1.1\r\n", FIXED, [], length=None) == b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.mark.parametrize("value", [b"a\r\nx: 1", b"a\n", b"a\r", b"\r\n\r\n", b"a\0b"])
def test_a_value_cannot_break_the_lines(value: bytes) -> None:
    with pytest.raises(ConfigError, match="authorization") as caught:
        request_head(START, FIXED, [(b"b", b"1"), (b"authorization", value)], length=1)
    assert caught.value.hint
    with pytest.raises(ConfigError):
        raw_head(START, [(b"authorization", value)])


@given(st.lists(st.tuples(st.just(b"x-any"), st.binary(max_size=20)), max_size=4))
def test_whatever_the_values_a_head_has_one_line_for_each(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        head = request_head(START, FIXED, headers, length=7)
    except ConfigError:
        assert any(char in value for _, value in headers for char in b"\r\n\0")
        return
    lines = [
        START[:-2],
        FIXED[:-2],
        *(b"%b: %b" % header for header in headers),
        b"content-length: 7",
        b"",
        b"",
    ]
    assert head.split(b"\r\n") == lines


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\n", b"\xc3\xa4", b"a\0"])
def test_a_name_is_a_token(name: bytes) -> None:
    with pytest.raises(ConfigError):
        request_head(START, FIXED, [(name, b"1")], length=1)
    with pytest.raises(ConfigError):
        raw_head(START, [(name, b"1")])


@pytest.mark.parametrize(
    "name", [b"Host", b"content-length", b"Transfer-Encoding", b"connection", b"te", b"Accept-Encoding"]
)
def test_framing_is_not_the_callers(name: bytes) -> None:
    with pytest.raises(ConfigError, match="not the caller's"):
        request_head(START, FIXED, [(name, b"1")], length=1)


@pytest.mark.parametrize("target", ["/a b", "/a\r\nx: 1", "/a\n", "/ä", "/a\t", "/\x7f"])
def test_a_target_cannot_break_the_line(target: str) -> None:
    with pytest.raises(ConfigError):
        start_line("GET", target)


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "GÄT"])
def test_a_method_is_a_word(method: str) -> None:
    with pytest.raises(ConfigError):
        start_line(method, "/")
