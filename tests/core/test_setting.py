"""How a field of the settings is declared."""

from dataclasses import dataclass, fields

import pytest

from chatvault.core.setting import setting, setting_of


def test_a_field_has_its_default_and_its_help() -> None:
    @dataclass(frozen=True)
    class Section:
        port: int = setting(4000, "The port.")
        names: list[str] = setting_of(list, "The names.")

    assert Section() == Section(4000, [])
    assert Section().names is not Section().names
    assert [each.metadata["help"] for each in fields(Section)] == ["The port.", "The names."]


@pytest.mark.parametrize("default", [[], {}])
def test_a_default_that_could_change_is_refused(default: object) -> None:
    with pytest.raises(TypeError):
        setting(default, "x")
