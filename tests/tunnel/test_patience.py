"""How long the tunnel waits before the next attempt."""

from chatvault.tunnel.faults import Fault
from chatvault.tunnel.patience import Patience

_BROKEN = Fault("broken", "it broke")


def _pauses(patience: Patience, count: int, *, is_contended: bool = False) -> list[float]:
    return [patience.pause(_BROKEN, outage_seconds=1000, is_contended=is_contended) for _ in range(count)]


def test_a_link_that_stood_is_replaced_at_once_but_not_for_ever() -> None:
    patience = Patience(lambda: 1.0)
    patience.note_loss(5.0)
    assert _pauses(patience, 7) == [0, 0, 0, 0, 0, 8, 16]


def test_attempts_that_fail_are_made_ever_more_rarely_until_they_are_forgotten() -> None:
    patience = Patience(lambda: 1.0)
    patience.note_failure()
    before = _pauses(patience, 9)
    assert before == sorted(before)
    assert before[0] > 0
    assert before[-1] == 30
    patience.forget()
    assert _pauses(patience, 1) == before[:1]


def test_a_link_that_flaps_is_no_link_and_one_that_lasted_forgets_what_was() -> None:
    patience = Patience(lambda: 1.0)
    patience.note_failure()
    _pauses(patience, 9)
    patience.note_loss(1.0)
    assert _pauses(patience, 1) == [30]
    patience.note_loss(60.0)
    assert _pauses(patience, 1) == [0]


def test_another_daemon_is_asked_about_twice_a_minute() -> None:
    patience = Patience(lambda: 0.0)
    patience.note_failure()
    assert [round(pause) for pause in _pauses(patience, 2, is_contended=True)] == [21, 21]
