"""Health conditions."""

from chatvault.core.health import Condition, Health


def test_a_condition_goes_on_from_when_it_began() -> None:
    health = Health()

    assert health.report("tunnel", "no route", now_ms=1)
    assert health.report("tunnel", "refused", now_ms=2)
    assert not health.report("tunnel", "refused", now_ms=3)

    assert health.conditions == (Condition("tunnel", "refused", 1),)


def test_what_is_well_again_is_gone() -> None:
    health = Health()
    health.report("a", "x", now_ms=5)
    health.report("b", "y", now_ms=4)

    assert [each.name for each in health.conditions] == ["b", "a"]
    assert health.report("a", None, now_ms=6)
    assert not health.report("a", None, now_ms=7)
    assert [each.name for each in health.conditions] == ["b"]
