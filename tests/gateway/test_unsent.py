"""Tests of what waits for a client that does not read."""

from chatvault.gateway.unsent import Unread


def test_who_takes_enough_begins_anew_whenever_it_has() -> None:
    unread = Unread(10)
    for tick, waiting, since in [(11, 1000, 10), (12, 901, 10), (13, 900, 13), (14, 850, 13), (15, 700, 15)]:
        unread.look(tick, waiting, floor_bytes=100)
        assert unread.since == since


def test_a_byte_at_a_time_is_not_enough() -> None:
    unread = Unread(0)
    for tick in range(60):
        unread.look(tick, 1000 - tick, floor_bytes=100)
    assert unread.since == 0


def test_what_is_added_to_that_is_nothing_taken() -> None:
    unread = Unread(0)
    for tick, waiting in enumerate([500, 450, 800, 750]):
        unread.look(tick, waiting, floor_bytes=100)
        assert unread.since == 0
    unread.look(9, 700, floor_bytes=100)
    assert unread.since == 9
