"""Tests of a streamed answer as it goes out."""

import asyncio
from collections.abc import Mapping
from typing import Any

from chatvault.gateway.sse_answer import PING, SseAnswer


class Connection:
    """Keeps what goes out; `is_full` is a client that doesn't read."""

    def __init__(self) -> None:
        self.has_head = False
        self.is_full = False
        self.body = b""

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.has_head = True
            return
        while self.is_full:
            await asyncio.sleep(0)
        self.body += message["body"]

    def push(self, body: bytes) -> bool:
        if self.is_full or not self.has_head:
            return False
        self.body += body
        return True


def test_a_ping_begins_the_answer_and_is_a_sign_of_life() -> None:
    async def main() -> None:
        connection = Connection()
        answer = SseAnswer(connection.send, [], connection.push)
        await answer.ping()
        assert answer.has_started and answer.beats == 1
        assert connection.has_head and connection.body == PING

    asyncio.run(main())


def test_a_client_that_does_not_read_is_not_pinged() -> None:
    async def main() -> None:
        for has_begun in (True, False):
            connection = Connection()
            answer = SseAnswer(connection.send, [], connection.push)
            if has_begun:
                await answer.write(b"one")
            connection.is_full = True
            async with asyncio.timeout(10):
                await answer.ping()
            connection.is_full = False
            await answer.end(b"two")
            assert connection.body == (b"onetwo" if has_begun else b"two")

    asyncio.run(main())


def test_nothing_comes_after_the_end() -> None:
    async def main() -> None:
        connection = Connection()
        answer = SseAnswer(connection.send, [], connection.push)
        await answer.end(b"last")
        await answer.ping()
        assert connection.body == b"last"

    asyncio.run(main())
