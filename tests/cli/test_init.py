"""The first settings."""

import io
import stat
from pathlib import Path

import pytest
import yaml

from chatvault.cli import first_run, prompt
from chatvault.cli.first_run import Found
from chatvault.providers.ollama_library import Discovery
from tests.support.program import Program

OLLAMA = Discovery("0.40.12", ("llama3.2:3b",))


def finds(monkeypatch: pytest.MonkeyPatch, found: Found) -> None:
    """Let the machine hold `found`, whatever it does hold."""
    monkeypatch.setattr(first_run, "look_around", lambda context: found)


def files(home: Path) -> dict[str, bytes]:
    return {str(each): each.read_bytes() for each in sorted(home.rglob("*")) if each.is_file()}


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (Found(OLLAMA, True, ()), ["ollama", "echo"]),
        (Found(None, True, ()), ["embedded", "echo"]),
        (Found(None, False, ()), ["echo"]),
    ],
)
def test_what_is_found_is_written(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch, found: Found, names: list[str]
) -> None:
    finds(monkeypatch, found)
    outcome = chatvault.run("init", "--yes", "--json")

    assert outcome.json["providers_added"] == names
    assert list(yaml.safe_load(chatvault.places.config.read_text())["providers"]) == names
    for path in (chatvault.places.config, chatvault.places.database):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_that_is_set_brings_its_provider(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-0123456789abcdef")
    chatvault.run("init", "--yes")

    providers = yaml.safe_load(chatvault.places.config.read_text())["providers"]
    assert providers["deepseek"] == {"kind": "deepseek", "api_key": "env:DEEPSEEK_API_KEY"}
    assert "anthropic" not in providers


def test_a_key_of_this_shell_alone_is_said_to_be_so(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-0123456789abcdef")
    told = chatvault.run("init", "--yes").err
    chatvault.places.env_file.write_text("DEEPSEEK_API_KEY=sk-0123456789abcdef\n")
    told_later = chatvault.run("init", "--yes").err
    chatvault.places.env_file.unlink()
    monkeypatch.delenv("DEEPSEEK_API_KEY")
    outcome = chatvault.run("config", "check")

    assert "DEEPSEEK_API_KEY was found in the environment: export it for serve too, or chatvault keys" in told
    assert "DeepSeek: its key is set already" in told_later
    assert outcome.code == 2
    assert "DEEPSEEK_API_KEY is neither in the environment nor in" in outcome.err.splitlines()[0]
    assert outcome.err.splitlines()[1].startswith(
        "Try: chatvault keys set deepseek, or export DEEPSEEK_API_K"
    )


def test_a_second_time_changes_nothing(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, Found(OLLAMA, True, ()))
    chatvault.run("init", "--yes")
    before = files(chatvault.places.config.parent)
    outcome = chatvault.run("init", "--yes")

    assert outcome.code == 0
    assert "nothing to change" in outcome.err
    assert files(chatvault.places.config.parent) == before


def test_what_is_new_is_added_and_every_line_stays(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# mine\nproviders:   # all of them\n    home: {kind: ollama}  # the box\n\nlog: {level: debug}\n"
    chatvault.write_settings(text)
    finds(monkeypatch, Found(OLLAMA, True, ("anthropic",)))
    chatvault.run("init", "--yes")
    after = chatvault.places.config.read_text()

    assert [line for line in after.splitlines() if line not in text.splitlines()] == [
        '    anthropic: {kind: anthropic, api_key: "env:ANTHROPIC_API_KEY"}',
        "    echo: {kind: echo}",
    ]
    assert list(yaml.safe_load(after)["providers"]) == ["anthropic", "echo", "home"]


def test_what_can_not_be_added_is_left_to_you(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "providers: {home: {kind: ollama}}\n"
    chatvault.write_settings(text)
    finds(monkeypatch, Found(None, False, ()))
    outcome = chatvault.run("init", "--yes")

    assert chatvault.places.config.read_text() == text
    assert "Add this below `providers:` yourself:  echo: {kind: echo}" in outcome.err


def test_a_broken_file_is_left_as_it_is(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    chatvault.write_settings("providers:\n\tx: 1\n")
    finds(monkeypatch, Found(None, False, ()))
    outcome = chatvault.run("init", "--yes")

    assert outcome.code == 2
    assert chatvault.places.config.read_text() == "providers:\n\tx: 1\n"


class Terminal(io.StringIO):
    """A stdin with someone at it."""

    def isatty(self) -> bool:
        return True


def test_a_no_leaves_nothing_behind(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, Found(None, False, ()))
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    monkeypatch.setattr(prompt, "hidden", lambda question: "sk-ant-api03-abcdefgh")
    outcome = chatvault.run("init")

    assert outcome.code == 2
    assert files(chatvault.places.config.parent) == {}


def test_a_typed_key_goes_to_the_env_file_alone(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(monkeypatch, Found(None, False, ()))
    keys = iter(["sk-ant-api03-abcdefgh", ""])
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    monkeypatch.setattr(prompt, "hidden", lambda question: next(keys))
    outcome = chatvault.run("init")

    assert outcome.code == 0
    assert chatvault.places.env_file.read_text() == "ANTHROPIC_API_KEY=sk-ant-api03-abcdefgh\n"
    assert stat.S_IMODE(chatvault.places.env_file.stat().st_mode) == 0o600
    assert "abcdefgh" not in chatvault.places.config.read_text() + outcome.out + outcome.err
    assert list(yaml.safe_load(chatvault.places.config.read_text())["providers"]) == ["anthropic", "echo"]


def test_without_a_terminal_nothing_is_asked(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    outcome = chatvault.run("init")

    assert (outcome.code, outcome.err.splitlines()[1]) == (2, "Try: chatvault init --yes")
