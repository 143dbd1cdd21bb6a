"""Where secrets come from."""

from pathlib import Path

import pytest

from chatvault.config.secrets import SecretSource
from chatvault.errors import ConfigError


def resolve(source: SecretSource, text: str) -> str:
    secret = source.resolve(text, where="providers.a.api_key", path=source.env_file.parent / "c.yaml", line=3)
    assert secret is not None
    return secret.reveal()


def test_the_environment_goes_before_the_env_file_and_that_before_credentials(tmp_path: Path) -> None:
    env_file, credentials = tmp_path / ".env", tmp_path / "credentials"
    credentials.mkdir()
    for name in ("ONE", "TWO", "THREE"):
        (credentials / name).write_text("from-credentials\n")
    env_file.write_text("ONE=from-file\nTWO=from-file\n")
    source = SecretSource({"ONE": "from-environment"}, env_file, credentials)

    assert resolve(source, "env:ONE") == "from-environment"
    assert resolve(source, "env:TWO") == "from-file"
    assert resolve(source, "env:THREE") == "from-credentials"
    assert resolve(source, "cred:ONE") == "from-credentials"


def test_a_file_beside_the_settings_is_read_and_stripped(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-abcdef123\n")

    assert resolve(SecretSource({}, tmp_path / ".env"), "file:key") == "sk-abcdef123"


def test_a_literal_is_itself(tmp_path: Path) -> None:
    assert resolve(SecretSource({}, tmp_path / ".env"), "sk-abcdef123") == "sk-abcdef123"


@pytest.mark.parametrize("name", ["../key", "/etc/passwd", ".", "a/b", ""])
def test_a_credentials_name_can_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "key").write_text("sk-abcdef123")
    (tmp_path / "credentials").mkdir()
    source = SecretSource({}, tmp_path / ".env", tmp_path / "credentials")

    with pytest.raises(ConfigError, match="no credential"):
        resolve(source, f"cred:{name}")


@pytest.mark.parametrize("value", ["", "  ", "changeme", "your-key-here", "sk-abc\ndef", "sk-abc def", "clé"])
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(SecretSource({"NAME": value}, tmp_path / ".env"), "env:NAME")

    assert caught.value.hint == "chatvault keys set a"
    assert not value.strip() or value not in str(caught.value)


def test_a_shells_way_of_naming_a_variable_gets_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(SecretSource({}, tmp_path / ".env"), "${KEY}")

    assert caught.value.hint == "write env:KEY"
