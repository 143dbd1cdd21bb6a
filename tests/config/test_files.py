"""Files that nobody else may read."""

import stat
from pathlib import Path

import pytest

from chatvault.config.files import ensure_private_folder, write_private
from chatvault.config.permissions import find_too_open
from chatvault.config.places import find_places
from chatvault.errors import ChatVaultError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_and_so_are_its_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "config.yaml"
    write_private(path, "one")
    path.chmod(0o644)
    write_private(path, "two")

    assert path.read_text() == "two"
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)
    assert [each.name for each in path.parent.iterdir()] == ["config.yaml"]


def test_a_file_in_a_folders_place_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")

    with pytest.raises(ChatVaultError, match="not a folder"):
        ensure_private_folder(tmp_path / "x")


def test_what_others_can_reach_is_found_with_its_fix(tmp_path: Path) -> None:
    places = find_places({"CHATVAULT_HOME": str(tmp_path)}, is_root=False)
    tmp_path.chmod(0o700)
    write_private(places.config, "")
    write_private(places.env_file, "A=b")
    places.ssh_dir.mkdir(mode=0o700)
    (places.ssh_dir / "id.pub").write_text("public")
    assert find_too_open(places) == ()

    places.env_file.chmod(0o640)
    tmp_path.chmod(0o755)

    assert [each.fix for each in find_too_open(places)] == [
        f"chmod 600 {places.env_file}",
        f"chmod 700 {tmp_path}",
    ]
