"""Where things lie."""

from pathlib import Path

import pytest

from chatvault.config.places import find_places


def test_a_home_holds_everything() -> None:
    found = find_places({"CHATVAULT_HOME": "/x", "STATE_DIRECTORY": "/var/lib/chatvault"}, is_root=True)

    assert found.config == Path("/x/config.yaml")
    assert found.env_file == Path("/x/.env")
    assert found.database == Path("/x/chatvault.db")
    assert found.control_socket.parent == found.lock.parent == Path("/x/run")
    assert (found.ssh_dir, found.tls_dir) == (Path("/x/ssh"), Path("/x/tls"))


def test_root_has_the_systems_places() -> None:
    found = find_places({}, is_root=True)

    assert found.config == Path("/etc/chatvault/config.yaml")
    assert found.env_file == Path("/etc/chatvault/.env")
    assert found.database == Path("/var/lib/chatvault/chatvault.db")
    assert found.run_dir == Path("/run/chatvault")
    assert found.is_system


def test_a_system_service_has_what_systemd_names() -> None:
    environ = {
        "STATE_DIRECTORY": "/var/lib/other:/var/lib/more",
        "RUNTIME_DIRECTORY": "/run/other",
        "CONFIGURATION_DIRECTORY": "/etc/other",
        "CREDENTIALS_DIRECTORY": "/run/credentials/chatvault.service",
    }
    found = find_places(environ, is_root=False)

    assert found.database == Path("/var/lib/other/chatvault.db")
    assert found.run_dir == Path("/run/other")
    assert found.config == Path("/etc/other/config.yaml")
    assert found.credentials_dir == Path("/run/credentials/chatvault.service")


def test_a_service_of_a_user_keeps_the_users_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/me/.config")
    found = find_places({"RUNTIME_DIRECTORY": "/run/user/1000/chatvault"}, is_root=False)

    assert found.run_dir == Path("/run/user/1000/chatvault")
    assert found.config == Path("/home/me/.config/chatvault/config.yaml")
    assert not found.is_system


def test_a_users_places_are_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/c")
    monkeypatch.setenv("XDG_DATA_HOME", "/d")
    found = find_places({"XDG_RUNTIME_DIR": str(tmp_path)}, is_root=False)

    assert found.config == Path("/c/chatvault/config.yaml")
    assert found.env_file == Path("/c/chatvault/.env")
    assert found.database == Path("/d/chatvault/chatvault.db")
    assert found.control_socket == tmp_path / "chatvault/control.sock"


def test_another_settings_file_brings_its_own_env_file_for_a_user() -> None:
    other = Path("/other/my.yaml")

    assert find_places({}, is_root=False, config_override=other).env_file == Path("/other/.env")
    home = find_places({"CHATVAULT_HOME": "/x"}, is_root=False, config_override=other)
    assert (home.config, home.env_file) == (other, Path("/x/.env"))
