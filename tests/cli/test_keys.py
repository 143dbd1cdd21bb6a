"""The providers' keys."""

import io
import stat

import pytest

from tests.support.program import Program

SETTINGS = """\
providers:
  claude: {kind: anthropic, api_key: "env:MY_KEY"}
  deepseek: {kind: deepseek, api_key: "file:deepseek.key"}
  echo: {kind: echo}
"""


@pytest.fixture
def settings(chatvault: Program) -> None:
    """Three providers: a key from the environment, one from a file, none."""
    chatvault.write_settings(SETTINGS)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.usefixtures("settings")
def test_a_key_is_written_where_the_settings_look(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    chatvault.places.env_file.write_text("# mine\nOTHER=1\n")
    typed(monkeypatch, "sk-ant-api03-abcdefghijk\n")
    outcome = chatvault.run("keys", "set", "claude", "--stdin")

    assert outcome.code == 0
    assert chatvault.places.env_file.read_text() == "# mine\nOTHER=1\nMY_KEY=sk-ant-api03-abcdefghijk\n"
    assert stat.S_IMODE(chatvault.places.env_file.stat().st_mode) == 0o600
    assert "abcdefghijk" not in outcome.out + outcome.err


@pytest.mark.usefixtures("settings")
def test_keys_are_masked_when_listed(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-ant-api03-abcdefghijk")
    outcome = chatvault.run("keys", "list", "--json")

    assert [(each["provider"], each["from"], each["key"]) for each in outcome.json["keys"]] == [
        ("claude", "env:MY_KEY", "sk-ant…ijk"),
        ("deepseek", "file:deepseek.key", "missing"),
        ("echo", None, None),
    ]
    assert "abcdefgh" not in outcome.out + chatvault.run("keys", "list").out


@pytest.mark.usefixtures("settings")
def test_an_environment_that_hides_the_new_key_is_told(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-the-old-one")
    typed(monkeypatch, "sk-the-new-one\n")

    assert "that one counts" in chatvault.run("keys", "set", "claude", "--stdin").err


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    ("provider", "text"),
    [("claude", "\n"), ("claude", "two words\n"), ("deepseek", "sk-1\n"), ("x", "sk-1\n")],
)
def test_what_can_not_be_set_is_refused(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch, provider: str, text: str
) -> None:
    typed(monkeypatch, text)
    outcome = chatvault.run("keys", "set", provider, "--stdin")

    assert outcome.code == 2
    assert not chatvault.places.env_file.exists()


@pytest.mark.usefixtures("settings")
def test_a_key_is_never_an_argument(chatvault: Program) -> None:
    assert chatvault.run("keys", "set", "claude", "sk-ant-api03-abcdefghijk").code == 2


@pytest.mark.usefixtures("settings")
def test_without_a_terminal_the_flag_is_named(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "")
    outcome = chatvault.run("keys", "set", "claude")

    assert (outcome.code, outcome.err.splitlines()[1]) == (2, "Try: chatvault keys set claude --stdin")
