"""Any cut of an answer's bytes means the same."""

import asyncio
import itertools
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatvault.errors import ProviderBroke, ProviderError, ProviderFailed
from chatvault.providers.http.clock import Timeouts
from chatvault.providers.http.connection import READ_BYTES, Connection
from chatvault.providers.http.faults import Disconnected
from chatvault.providers.http.incoming import HEAD_LIMIT
from chatvault.providers.http.response import Response

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = (
    OK + b"Content-Type: text/plain\r\nX-Empty:\r\nX-Blank:  a b \t\r\nContent-Length: 11\r\n\r\nhello world"
)
CHUNKED = (
    OK
    + b"Transfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"
)
CLOSED = b"HTTP/1.0 200 OK\r\n\r\nhello world"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class Outcome:
    """What a connection made of some bytes: fed piece by piece, the last one followed by the end."""

    def __init__(
        self, pieces: list[bytes], *, is_bodiless: bool = False, ends: Exception | bool | None = False
    ) -> None:
        self.body = b""
        self.error: BaseException | None = None
        self.is_kept = False
        asyncio.run(self._feed(pieces, is_bodiless, ends))

    async def _feed(self, pieces: list[bytes], is_bodiless: bool, ends: Exception | bool | None) -> None:
        ours, theirs = socket.socketpair()
        loop = asyncio.get_running_loop()
        connection = Connection("host:1", loop, on_free=self._freed, on_lost=lambda _: None)
        with theirs:
            await loop.create_connection(lambda: Stub(connection), sock=ours)
            answer = Response("host:1", is_bodiless=is_bodiless)
            connection.start(answer, b"GET / HTTP/1.1\r\n\r\n", timeouts=Timeouts(None, None, None))
            for piece in pieces:
                if answer.connection is not None:
                    for at in range(0, len(piece), READ_BYTES):
                        part = piece[at : at + READ_BYTES]
                        connection.get_buffer(-1)[: len(part)] = part
                        connection.buffer_updated(len(part))
            if ends is not False and answer.connection is not None:
                connection.connection_lost(ends if isinstance(ends, Exception) else None)
            if answer.connection is None:
                try:
                    await answer.wait_head()
                    self.body = await answer.read_all()
                except ProviderError as exc:
                    self.error = exc
            self.status, self.headers, self.is_done = answer.status, answer.headers, answer.is_done
            connection.abandon()
            await asyncio.sleep(0)

    def _freed(self, connection: Connection) -> None:
        self.is_kept = True


class Stub(asyncio.Protocol):
    """Hands a real transport to a connection whose bytes the test brings itself."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.connection_made(transport)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({min(place, len(data)) for place in places} - {0, len(data)}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 250), max_size=8)


@settings(max_examples=60, deadline=None)
@given(cuts=CUTS, answer=st.sampled_from([PLAIN, CHUNKED, CLOSED, INTERIM + PLAIN, INTERIM + CHUNKED]))
def test_any_cut_of_an_answer_gives_the_same(cuts: list[int], answer: bytes) -> None:
    outcome = Outcome(cut(answer, cuts), ends=None)
    assert (outcome.status, outcome.body, outcome.error) == (200, b"hello world", None)
    assert outcome.headers == Outcome([answer], ends=None).headers
    assert outcome.is_kept is (answer is not CLOSED)


@pytest.mark.parametrize("answer", [PLAIN, CHUNKED, INTERIM + PLAIN])
def test_each_single_byte_may_come_alone(answer: bytes) -> None:
    outcome = Outcome([bytes([byte]) for byte in answer])
    assert (outcome.status, outcome.body, outcome.is_kept) == (200, b"hello world", True)


@settings(max_examples=60, deadline=None)
@given(cuts=CUTS, answer=st.sampled_from([PLAIN, CHUNKED, INTERIM + CHUNKED]), data=st.data())
def test_wherever_an_answer_is_truncated_it_is_no_whole_one(
    cuts: list[int], answer: bytes, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, len(answer) - 1))
    outcome = Outcome(cut(answer[:length], cuts), ends=None)
    assert isinstance(outcome.error, ProviderBroke if outcome.status else Disconnected)
    assert "host:1" in str(outcome.error)
    assert not outcome.is_kept


@settings(max_examples=60, deadline=None)
@given(cuts=CUTS, junk=st.binary(min_size=1, max_size=30), place=st.integers(0, 130))
def test_junk_within_an_answer_neither_hangs_nor_escapes(cuts: list[int], junk: bytes, place: int) -> None:
    outcome = Outcome(cut(CHUNKED[:place] + junk + CHUNKED[place:], cuts), ends=ConnectionResetError())
    assert outcome.is_done or isinstance(outcome.error, ProviderError)


@settings(max_examples=40, deadline=None)
@given(junk=st.binary(min_size=1, max_size=60))
def test_junk_instead_of_an_answer_is_a_failure(junk: bytes) -> None:
    outcome = Outcome([junk], ends=None)
    assert isinstance(outcome.error, ProviderFailed | Disconnected)
    assert outcome.status == 0


def test_headers_are_lower_case_without_blanks_around() -> None:
    assert Outcome([PLAIN]).headers == [
        (b"content-type", b"text/plain"),
        (b"x-empty", b""),
        (b"x-blank", b"a b"),
        (b"content-length", b"11"),
    ]


def test_trailers_and_interim_headers_are_not_the_answers() -> None:
    assert Outcome([INTERIM + CHUNKED]).headers == [(b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_an_answer_may_have_no_body(head: bytes) -> None:
    outcome = Outcome([head])
    assert (outcome.is_done, outcome.body, outcome.is_kept) == (True, b"", True)


@pytest.mark.parametrize("length", [b"Content-Length: 11\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_the_answer_to_a_head_request_has_no_body(length: bytes) -> None:
    outcome = Outcome([OK + length + b"\r\n"], is_bodiless=True)
    assert (outcome.is_done, outcome.body, outcome.is_kept) == (True, b"", True)


def test_a_body_in_answer_to_a_head_request_costs_the_connection() -> None:
    outcome = Outcome([PLAIN], is_bodiless=True)
    assert (outcome.is_done, outcome.body, outcome.is_kept) == (True, b"", False)


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n", PLAIN, b"HTTP"])
def test_bytes_after_the_end_cost_the_connection(surplus: bytes) -> None:
    outcome = Outcome([PLAIN + surplus])
    assert (outcome.status, outcome.body, outcome.is_kept) == (200, b"hello world", False)


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b"Connection: Close, x\r\n"])
def test_a_server_that_closes_is_believed(line: bytes) -> None:
    outcome = Outcome([OK + line + b"Content-Length: 2\r\n\r\nok"])
    assert (outcome.body, outcome.is_kept) == (b"ok", False)


def test_an_old_servers_connection_is_kept_only_if_it_says_so() -> None:
    assert not Outcome([b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"]).is_kept
    assert Outcome([b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"]).is_kept


def test_a_body_until_the_end_ends_well_only_with_a_clean_close() -> None:
    assert Outcome([CLOSED], ends=None).error is None
    assert isinstance(Outcome([CLOSED], ends=ConnectionResetError()).error, ProviderBroke)


@pytest.mark.parametrize("coding", [b"gzip", b"chunked, x"])
def test_a_transfer_coding_that_is_not_chunked_lasts_until_the_end(coding: bytes) -> None:
    outcome = Outcome([OK + b"Transfer-Encoding: " + coding + b"\r\n\r\nabc"], ends=None)
    assert outcome.body == b"abc" or isinstance(outcome.error, ProviderFailed)


@pytest.mark.parametrize(
    "head",
    [
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"A: b\r\n folded\r\nContent-Length: 0\r\n\r\n",
        OK + b"A : b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ],
)
def test_an_answer_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    outcome = Outcome([head])
    assert isinstance(outcome.error, ProviderFailed)
    assert "not HTTP" in str(outcome.error)
    assert not outcome.is_kept


@pytest.mark.parametrize("head", [b"Upgrade: x\r\nConnection: upgrade\r\n", b""])
def test_another_protocol_is_refused(head: bytes) -> None:
    outcome = Outcome([b"HTTP/1.1 101 Switching Protocols\r\n" + head + b"\r\nxyz"])
    assert isinstance(outcome.error, ProviderFailed)
    assert "101" in str(outcome.error)


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"5\r\nhelloXX", b"fffffffffffffffff\r\n"])
def test_a_chunk_that_makes_no_sense_breaks_the_answer(chunk: bytes) -> None:
    outcome = Outcome([OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk])
    assert isinstance(outcome.error, ProviderBroke)


@pytest.mark.parametrize("size", [1000, 200_000])
def test_headers_are_bounded_however_they_come(size: int) -> None:
    head = OK + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 100) for n in range(700)) + b"Content-Length: 0\r\n\r\n"
    outcome = Outcome([head[start : start + size] for start in range(0, len(head), size)])
    assert isinstance(outcome.error, ProviderFailed)
    assert str(HEAD_LIMIT) in str(outcome.error)


def test_a_large_body_in_the_first_read_is_not_taken_for_headers() -> None:
    outcome = Outcome([OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000])
    assert (outcome.error, len(outcome.body), outcome.is_kept) == (None, 200_000, True)


def test_interim_answers_without_end_are_bounded() -> None:
    outcome = Outcome([INTERIM * 100 for _ in range(20)])
    assert isinstance(outcome.error, ProviderFailed)
