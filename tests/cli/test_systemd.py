"""systemd's files: what would be written, and where a program may not lie."""

import sys
from pathlib import Path

import pytest

from chatvault.cli import unit_files, unit_install
from chatvault.cli.unit_files import UnitFile, check_reach, system_files, user_files
from chatvault.errors import ChatVaultError, NotPermitted

PROGRAM = Path("/opt/chatvault/venv/bin/chatvault")


def test_every_placeholder_is_filled() -> None:
    files = system_files(PROGRAM, ["127.0.0.1:4000", "[::1]:4000"])
    texts = {file.path.name: file.text for file in files}

    assert not [
        name
        for name, text in texts.items()
        if "@" in text.replace("@system-service", "").replace("@privileged @resources", "")
    ]
    assert f"ExecStart={PROGRAM} serve" in texts["chatvault.service"]
    assert "ListenStream=127.0.0.1:4000\nListenStream=[::1]:4000\n" in texts["chatvault.socket"]


def test_a_users_unit_lies_in_their_own_folder(tmp_path: Path) -> None:
    (file,) = user_files(PROGRAM, tmp_path)
    assert file.path == tmp_path / "systemd/user/chatvault.service"
    assert "User=" not in file.text


@pytest.mark.parametrize("place", ["/root/venv", "/home/me/venv", "/tmp/venv", "/var/tmp/venv"])
def test_a_program_a_service_cannot_reach_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    with pytest.raises(NotPermitted) as caught:
        check_reach(Path(place) / "bin/chatvault")
    assert place in str(caught.value)
    assert "/opt/chatvault/venv" in (caught.value.hint or "")


def test_files_are_written_once_and_taken_away(tmp_path: Path) -> None:
    file = UnitFile(tmp_path / "a/b.service", "[Unit]\n")

    def what(changes: tuple[unit_install.Change, ...]) -> list[str]:
        return [change.what.split()[0] for change in changes]

    assert what(unit_install.install([file], [["false"]], is_dry=True)) == ["write", "run"]
    assert not file.path.exists()
    assert what(unit_install.install([file], [], is_dry=False)) == ["write"]
    assert what(unit_install.install([file], [], is_dry=False)) == ["keep"]
    assert what(unit_install.uninstall([file], before=[], after=[], is_dry=False)) == ["remove"]
    assert what(unit_install.uninstall([file], before=[["false"]], after=[], is_dry=False)) == []


def test_a_command_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(ChatVaultError, match="no such thing"):
        unit_install.run(["sh", "-c", "echo no such thing >&2; exit 3"])
    with pytest.raises(ChatVaultError, match="no systemd"):
        unit_install.run(["no-such-program-here"])


def test_the_files_are_found_in_a_checkout() -> None:
    assert unit_files.SYSTEM_UNITS[0] in {file.path.name for file in system_files(PROGRAM, [])}
