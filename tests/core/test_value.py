import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace

import pytest

from chatvault.core.value import quickly_made


@dataclass(frozen=True, slots=True)
class Plain:
    """A value as dataclasses makes it."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("a can't be negative")


@quickly_made
@dataclass(frozen=True, slots=True)
class Quick:
    """The same, made quickly."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("a can't be negative")


def test_it_takes_what_the_plain_one_takes() -> None:
    for args, named in (((1,), {}), ((1, "x"), {"c": (2,)}), ((), {"a": 1, "b": "y"})):
        plain, quick = Plain(*args, **named), Quick(*args, **named)  # type: ignore[arg-type]
        assert [getattr(quick, f.name) for f in fields(quick)] == [
            getattr(plain, f.name) for f in fields(plain)
        ]
        assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert inspect.signature(Quick) == inspect.signature(Plain)


def test_it_refuses_what_the_plain_one_refuses() -> None:
    for args, named in (((), {}), ((1, "x", (2,)), {}), ((1,), {"d": 1}), ((1,), {"a": 1})):
        for kind in (Plain, Quick):
            with pytest.raises(TypeError):
                kind(*args, **named)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative"):
        Quick(-1)


def test_it_is_frozen_and_has_no_room_for_more() -> None:
    value = Quick(1)
    assert type(value) is Quick
    for name in ("a", "d", "__class__"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(value, name, 2)
    assert not hasattr(value, "__dict__")


def test_it_compares_hashes_and_is_copied_like_any_value() -> None:
    value = Quick(1, c=(3,))
    assert value == Quick(1, c=(3,)) and value != Quick(2, c=(3,))
    assert hash(value) == hash(Quick(1, c=(3,)))
    assert replace(value, b="z") == Quick(1, "z", c=(3,))
    assert copy.deepcopy(value) == value == pickle.loads(pickle.dumps(value))


def test_what_it_can_not_do_is_refused_when_the_class_is_made() -> None:
    @dataclass(frozen=True, slots=True)
    class Listing:
        items: list[int] = field(default_factory=list)

    with pytest.raises(TypeError, match="plain defaults"):
        quickly_made(Listing)
