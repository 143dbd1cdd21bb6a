"""Turns on one link: everybody gets one, and who had nothing to send goes first."""

import asyncio
from collections.abc import Callable

from chatvault.tunnel.fair_link import FairLink


class _Sender:
    """Has so many bytes to send, and writes down its turns."""

    def __init__(self, name: str, size: int, turns: list[str]) -> None:
        self.name, self.size, self.turns = name, size, turns

    def send_some(self, limit: int) -> bool:
        self.turns.append(self.name)
        self.size = max(0, self.size - limit)
        return self.size > 0


def _run(work: Callable[[FairLink], None], rounds: int = 3) -> None:
    async def main() -> None:
        link = FairLink(asyncio.get_running_loop())
        work(link)
        for _ in range(rounds):
            await asyncio.sleep(0)

    asyncio.run(main())


def test_large_senders_take_turns() -> None:
    turns: list[str] = []

    def work(link: FairLink) -> None:
        for name in ("a", "b", "c"):
            link.submit(_Sender(name, 3 * 16_384, turns))

    _run(work)
    assert turns == list("abcabcabc")


def test_who_had_nothing_waiting_goes_before_the_downloads() -> None:
    turns: list[str] = []

    def work(link: FairLink) -> None:
        bulk = [_Sender(name, 10 * 16_384, turns) for name in ("a", "b", "c", "d")]
        for each in bulk:
            link.submit(each)
        link._tick()  # all of it is sent while the link has room
        turns.clear()
        link.pause()
        for each in bulk:
            each.size = 10 * 16_384
            link.submit(each)
        # One round: now all four have had their turn, and wait.
        link.is_full = False
        for _ in bulk:
            link._serve_next()
        turns.clear()
        link.submit(_Sender("token", 100, turns))
        link._serve_next()
        assert turns == ["token"]

    _run(work, rounds=0)


def test_a_full_link_sends_nothing_until_it_has_room() -> None:
    turns: list[str] = []

    async def main() -> None:
        link = FairLink(asyncio.get_running_loop())
        link.pause()
        link.submit(_Sender("a", 10, turns))
        await asyncio.sleep(0.01)
        assert turns == []
        link.resume()
        assert turns == ["a"]

    asyncio.run(main())


def test_one_that_has_ended_gets_no_turn() -> None:
    turns: list[str] = []

    def work(link: FairLink) -> None:
        gone = _Sender("gone", 10, turns)
        link.submit(gone)
        link.submit(_Sender("a", 10, turns))
        link.forget(gone)

    _run(work)
    assert "gone" not in turns


def test_writes_of_one_turn_of_the_loop_go_out_together() -> None:
    turns: list[str] = []

    def work(link: FairLink) -> None:
        sender = _Sender("a", 10, turns)
        for _ in range(5):
            link.submit(sender)

    _run(work)
    assert turns == ["a"]
