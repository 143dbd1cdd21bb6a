"""This machine's time zone."""

from pathlib import Path

import pytest

from chatvault.config.local_zone import local_zone


@pytest.mark.parametrize(
    ("name", "key"), [("Europe/Berlin", "Europe/Berlin"), (":America/New_York", "America/New_York")]
)
def test_tz_goes_first(name: str, key: str) -> None:
    assert local_zone({"TZ": name}).key == key


def test_a_link_into_the_zones_names_one(tmp_path: Path) -> None:
    zones = tmp_path / "zoneinfo" / "Asia"
    zones.mkdir(parents=True)
    (zones / "Tokyo").write_text("")
    (tmp_path / "localtime").symlink_to(zones / "Tokyo")

    assert local_zone({}, localtime=tmp_path / "localtime", timezone=tmp_path / "none").key == "Asia/Tokyo"


def test_a_file_may_name_one(tmp_path: Path) -> None:
    (tmp_path / "timezone").write_text("Europe/Madrid\n")

    assert local_zone({}, localtime=tmp_path / "none", timezone=tmp_path / "timezone").key == "Europe/Madrid"


@pytest.mark.parametrize("name", ["Nowhere/Land", "../../etc/passwd", ""])
def test_what_is_no_zone_is_utc(tmp_path: Path, name: str) -> None:
    assert local_zone({"TZ": name}, localtime=tmp_path / "none", timezone=tmp_path / "none").key == "UTC"
