"""Packets of one turn go out together, a lot of them at once."""

import asyncio
from collections.abc import Callable

from chatvault.tunnel.cork import Cork


def _sent(work: Callable[[Cork, list[bytes]], None]) -> list[bytes]:
    sent: list[bytes] = []

    async def main() -> None:
        work(Cork(sent.append, asyncio.get_running_loop()), sent)
        await asyncio.sleep(0)

    asyncio.run(main())
    return sent


def test_packets_of_one_turn_are_one_write() -> None:
    def work(cork: Cork, sent: list[bytes]) -> None:
        for packet in (b"a", b"b", b"c"):
            cork.keep(packet)
        assert sent == []

    assert _sent(work) == [b"abc"]


def test_enough_of_them_do_not_wait_for_the_turn_to_end() -> None:
    def work(cork: Cork, sent: list[bytes]) -> None:
        cork.keep(b"a")
        cork.keep(bytes(4096))
        assert sent == [b"a" + bytes(4096)]
        cork.keep_until_flush(b"b", bytes(5000))
        assert sent[1:] == [b"b" + bytes(5000)]

    assert len(_sent(work)) == 2


def test_who_flushes_needs_no_turn_to_end() -> None:
    def work(cork: Cork, sent: list[bytes]) -> None:
        cork.keep_until_flush(b"length", b"sealed")
        cork.flush()
        assert sent == [b"lengthsealed"]
        cork.flush()

    assert _sent(work) == [b"lengthsealed"]


def test_the_order_is_kept_whoever_sends() -> None:
    def work(cork: Cork, sent: list[bytes]) -> None:
        cork.keep(b"a")
        cork.keep_until_flush(b"b", b"c")
        cork.keep(b"d")

    assert _sent(work) == [b"abcd"]
