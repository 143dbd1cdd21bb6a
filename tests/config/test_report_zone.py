"""Whose days reports count."""

from pathlib import Path

import pytest

from chatvault.config.report_zone import report_zone
from chatvault.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("usage: {timezone: Asia/Tokyo}", "Asia/Tokyo"),
        ("usage: {timezone: local}", "Europe/Berlin"),
        ("server: {}", "Europe/Berlin"),
        ("servr: [\n# no timezone here", None),
    ],
)
def test_the_settings_zone_counts_else_this_machines(tmp_path: Path, text: str, key: str | None) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)

    if key is None:
        with pytest.raises(ConfigError):
            report_zone(path, {"TZ": "Europe/Berlin"})
    else:
        assert report_zone(path, {"TZ": "Europe/Berlin"}).key == key


def test_no_settings_are_no_matter(tmp_path: Path) -> None:
    assert report_zone(tmp_path / "none.yaml", {"TZ": "Europe/Berlin"}).key == "Europe/Berlin"
