"""Tests of an answer on its way out, beside uvicorn's own cycle."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from chatvault.gateway.exchange import Exchange

Headers = Iterable[tuple[bytes, bytes]]


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.is_closed = True


def begin(
    kind: type[RequestResponseCycle], method: str = "POST", *, keep_alive: bool = True, version: str = "1.1"
) -> tuple[Any, Transport]:
    transport = Transport()
    log = logging.getLogger("test")
    cycle = kind(
        scope={"type": "http", "method": method, "http_version": version},  # type: ignore[typeddict-item]
        transport=transport,
        flow=FlowControl(transport),
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    return cycle, transport


def sent(
    kind: type[RequestResponseCycle],
    status: int,
    headers: Headers,
    pieces: list[bytes],
    *,
    method: str = "POST",
    keep_alive: bool = True,
) -> tuple[bytes, bool, list[bytes]]:
    """Return what an answer looks like on the wire, whether it closes the connection, and the writes."""

    async def main() -> tuple[bytes, bool, list[bytes]]:
        cycle, transport = begin(kind, method, keep_alive=keep_alive)
        await cycle.send({"type": "http.response.start", "status": status, "headers": list(headers)})
        for number, piece in enumerate(pieces):
            more = number + 1 < len(pieces)
            await cycle.send({"type": "http.response.body", "body": piece, "more_body": more})
        assert cycle.response_complete
        return b"".join(transport.writes), transport.is_closed, transport.writes

    return asyncio.run(main())


ANSWERS = [
    pytest.param(200, [(b"content-length", b"5")], [b"hello"], id="whole"),
    pytest.param(200, [(b"content-length", b"5")], [b"he", b"", b"llo"], id="whole, in pieces"),
    pytest.param(200, [(b"content-length", b"100000")], [bytes(100_000)], id="whole and large"),
    pytest.param(200, [(b"content-type", b"text/event-stream")], [b"a", b"bc", b""], id="chunks"),
    pytest.param(200, [(b"Transfer-Encoding", b"Chunked")], [b"a", b"", b"bc"], id="chunks that are named"),
    pytest.param(200, [(b"connection", b"keep-alive, Close")], [b""], id="close"),
    pytest.param(204, [], [b""], id="no content"),
    pytest.param(304, [(b"etag", b'"x"')], [b""], id="not modified"),
    pytest.param(599, [(b"x-a", "é".encode()), (b"x-a", b"a\tb")], [b"x"], id="odd, but allowed"),
]


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep", "close"])
@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize(("status", "headers", "pieces"), ANSWERS)
def test_an_answer_looks_as_uvicorn_writes_it(
    status: int, headers: Headers, pieces: list[bytes], method: str, keep_alive: bool
) -> None:
    theirs = sent(RequestResponseCycle, status, headers, pieces, method=method, keep_alive=keep_alive)
    ours = sent(Exchange, status, headers, pieces, method=method, keep_alive=keep_alive)
    assert ours[:2] == theirs[:2]


def test_a_small_answer_is_one_write() -> None:
    assert len(sent(Exchange, 200, [(b"content-length", b"2")], [b"ok"])[2]) == 1
    assert len(sent(Exchange, 200, [], [b"a", b"b", b""])[2]) == 3


def is_refused(kind: type[RequestResponseCycle], name: bytes, value: bytes) -> bool:
    async def main() -> bool:
        cycle, transport = begin(kind)
        try:
            await cycle.send({"type": "http.response.start", "status": 200, "headers": [(name, value)]})
        except RuntimeError:
            assert transport.writes == []
            return True
        return False

    return asyncio.run(main())


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=8))
def test_a_header_is_refused_where_uvicorn_refuses_it(name: bytes, value: bytes) -> None:
    name = b"x" + name
    assert is_refused(Exchange, name, value) == is_refused(RequestResponseCycle, name, value)


@pytest.mark.parametrize("byte", [bytes([code]) for code in range(256)])
def test_each_byte_is_judged_as_uvicorn_judges_it(byte: bytes) -> None:
    for name, value in ((b"x-a", byte), (b"x-a", b"a\r\nx: y" + byte), (b"x" + byte, b"")):
        assert is_refused(Exchange, name, value) == is_refused(RequestResponseCycle, name, value)


@pytest.mark.parametrize("size", [4, 6])
def test_a_body_of_another_length_than_was_said_is_refused(size: int) -> None:
    with pytest.raises(RuntimeError, match="content-length"):
        sent(Exchange, 200, [(b"content-length", b"5")], [bytes(size)])


def test_messages_out_of_their_order_are_refused() -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
    body = {"type": "http.response.body", "body": b"x"}

    async def main() -> None:
        for messages in ([body], [start, start], [start, body, body]):
            cycle, _ = begin(Exchange)
            with pytest.raises(RuntimeError):
                for message in messages:
                    await cycle.send(message)

    asyncio.run(main())


def test_who_asks_after_a_client_that_has_left_is_told_at_once() -> None:
    async def main() -> None:
        heard: list[str] = []
        cycle, transport = begin(Exchange)
        cycle.when_left(lambda: heard.append("first"))
        cycle.leave()
        cycle.leave()
        assert heard == ["first"]
        cycle.when_left(lambda: heard.append("second"))
        assert heard == ["first", "second"]
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
        assert transport.writes == []

    asyncio.run(main())


def test_a_client_that_leaves_after_the_end_is_no_news() -> None:
    async def main() -> None:
        heard: list[str] = []
        cycle, _ = begin(Exchange)
        cycle.when_left(lambda: heard.append("left"))
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
        await cycle.send({"type": "http.response.body"})
        cycle.leave()
        assert heard == []

    asyncio.run(main())


def test_a_piece_is_pushed_as_it_would_be_sent_but_for_what_has_to_wait() -> None:
    async def main() -> None:
        cycle, transport = begin(Exchange)
        assert not cycle.push(b"too early")
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
        assert transport.writes == []
        assert cycle.push(b"one")
        assert cycle.push(b"two")
        cycle.flow.pause_writing()
        assert not cycle.push(b"nobody reads")
        cycle.flow.resume_writing()
        cycle.leave()
        assert not cycle.push(b"nobody is there")
        assert transport.writes[0].endswith(b"\r\n\r\n3\r\none\r\n")
        assert transport.writes[1:] == [b"3\r\ntwo\r\n"]

    asyncio.run(main())


def test_a_head_waits_for_nobody() -> None:
    async def main() -> None:
        cycle, transport = begin(Exchange)
        cycle.flow.pause_writing()
        start = {"type": "http.response.start", "status": 200, "headers": []}
        await asyncio.wait_for(cycle.send(start), 10)
        assert cycle.response_started and transport.writes == []

    asyncio.run(main())


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    async def main() -> None:
        cycle, transport = begin(Exchange, keep_alive=False, version="1.0")
        await cycle.send({"type": "http.response.start", "status": 200, "headers": []})
        await cycle.send({"type": "http.response.body", "body": b"one", "more_body": True})
        assert cycle.push(b"two") and not transport.is_closed
        await cycle.send({"type": "http.response.body"})
        head, _, body = b"".join(transport.writes).partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head and b"connection: close" in head
        assert body == b"onetwo" and transport.is_closed

    asyncio.run(main())
