"""How long the tunnel waits before the next attempt."""

from chatvault.tunnel.faults import Fault
from chatvault.tunnel.link_end import Lost
from chatvault.tunnel.patience import Patience

_BROKEN = Fault("broken", "it broke")


def _pauses(patience: Patience, count: int, end: Lost) -> list[float | None]:
    return [patience.pause(end, outage_seconds=1000) for _ in range(count)]


def test_a_link_that_stood_is_replaced_at_once_but_not_for_ever() -> None:
    patience = Patience(lambda: 1.0)
    assert _pauses(patience, 7, Lost(_BROKEN, up_seconds=5.0)) == [0, 0, 0, 0, 0, 8, 16]


def test_attempts_that_fail_are_made_ever_more_rarely_until_they_are_forgotten() -> None:
    patience = Patience(lambda: 1.0)
    assert _pauses(patience, 9, Lost(_BROKEN)) == [0.5, 0.5, 1, 2, 4, 8, 16, 30, 30]
    patience.forget()
    assert _pauses(patience, 1, Lost(_BROKEN)) == [0.5]


def test_a_link_that_flaps_is_no_link_and_one_that_lasted_forgets_what_was() -> None:
    patience = Patience(lambda: 1.0)
    _pauses(patience, 9, Lost(_BROKEN))
    assert _pauses(patience, 1, Lost(_BROKEN, up_seconds=1.0)) == [30]
    assert _pauses(patience, 1, Lost(_BROKEN, up_seconds=60.0)) == [0]


def test_another_daemon_is_asked_about_twice_a_minute() -> None:
    taken = Lost(Fault("contended", "another one is there"))
    assert _pauses(Patience(lambda: 0.0), 2, taken) == [21, 21]
    assert _pauses(Patience(lambda: 1.0), 2, taken) == [30, 30]


def test_what_only_a_person_can_mend_is_not_waited_for() -> None:
    assert _pauses(Patience(lambda: 0.0), 2, Lost(Fault("permanent", "refused"))) == [None, None]
