import asyncio

import pytest

from chatvault.providers.http.outgoing import SLICE, Outgoing


class Pipe(asyncio.WriteTransport):
    """A transport that is full after every `room` writes, and tells it as real ones do."""

    def __init__(self, out: Outgoing, room: int) -> None:
        super().__init__()
        self.out, self.room, self.writes = out, room, []

    writes: list[bytes]

    def write(self, data: bytes | bytearray | memoryview) -> None:  # type: ignore[override]
        self.writes.append(bytes(data))
        if len(self.writes) % self.room == 0:
            self.out.can_write = False


def outgoing(room: int = 1) -> tuple[Outgoing, Pipe]:
    out = Outgoing()
    pipe = Pipe(out, room)
    out.transport = pipe
    return out, pipe


def test_a_small_request_is_one_write() -> None:
    out, pipe = outgoing()
    out.start(b"head", b"body", is_whole=True)
    assert pipe.writes == [b"headbody"]


@pytest.mark.parametrize("size", [SLICE, SLICE + 1, 5 * SLICE - 1])
def test_a_large_one_waits_for_each_slice_to_drain(size: int) -> None:
    out, pipe = outgoing()
    body = bytes(range(256)) * (size // 256 + 1)
    out.start(b"head", body[:size], is_whole=True)
    assert pipe.writes == [b"head"]
    assert out.is_stuck
    rounds = 0
    while out.is_stuck:
        out.resume()
        rounds += 1
        assert len(pipe.writes) <= rounds + 1
    assert b"".join(pipe.writes) == b"head" + body[:size]
    assert max(map(len, pipe.writes)) == SLICE
    assert out.is_over


def test_what_is_dropped_is_not_sent() -> None:
    out, pipe = outgoing()
    out.start(b"head", bytes(SLICE), is_whole=True)
    out.drop()
    out.resume()
    assert pipe.writes == [b"head"]


def test_a_request_is_over_when_all_is_given_and_drained() -> None:
    out, _ = outgoing(room=2)
    out.start(b"head", b"", is_whole=False)
    assert not out.is_over
    out.send(b"more")
    out.is_whole = True
    assert not out.is_over
    out.resume()
    assert out.is_over
