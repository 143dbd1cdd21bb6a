"""The settings, seen and taken over."""

import subprocess
import sys
from pathlib import Path

import pytest

from chatvault.core.chat import JsonObject
from chatvault.errors import ConfigError
from tests.support.control import serving
from tests.support.program import Program


def test_check_says_yes_and_exit_0(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")

    assert chatvault.run("config", "check", "--json").json["providers"] == ["echo"]


def test_check_needs_the_secrets(chatvault: Program) -> None:
    chatvault.write_settings("providers:\n  o: {kind: ollama, api_key: env:NOT_THERE}\n")
    outcome = chatvault.run("config", "check")

    assert outcome.code == 2
    assert ":2: providers.o.api_key" in outcome.err
    hint = "Try: chatvault keys set o, or export NOT_THERE where chatvault serve is started"
    assert outcome.err.splitlines()[1] == hint


def test_show_is_whole_and_masked(chatvault: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "sk-0123456789abcdef")
    chatvault.write_settings("providers: {o: {kind: ollama, api_key: env:KEY}}\nbackup: {every: 36h}\n")
    found = chatvault.run("config", "show", "--json").json["settings"]

    assert found["server"]["port"] == 4000
    assert found["backup"]["every"] == "36h"
    assert found["providers"]["o"]["kind"] == "ollama"
    assert found["providers"]["o"]["api_key"] == "sk-0123…def"
    assert "456789ab" not in chatvault.run("config", "show").out


def test_path_tells_where_things_lie(chatvault: Program) -> None:
    found = chatvault.run("config", "path", "--json").json

    assert found["config"] == str(chatvault.places.config)
    assert found["control_socket"] == str(chatvault.places.control_socket)


def test_reload_hands_the_daemons_refusal_on(chatvault: Program) -> None:
    async def reload(body: JsonObject) -> JsonObject:
        raise ConfigError("server.prot: unknown key", hint="did you mean port?", path="/c.yaml", line=2)

    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("POST", "/v1/reload"): reload}):
        outcome = chatvault.run("config", "reload")

    assert outcome.code == 2
    assert outcome.err == "Error: /c.yaml:2: server.prot: unknown key\nTry: did you mean port?\n"


def test_reload_without_a_daemon_is_exit_3(chatvault: Program) -> None:
    assert chatvault.run("config", "reload").code == 3


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("providers:\n  v: {kind: openai_compatible}\n", 2, "providers.v: base_url is missing"),
        ("providers:\n  e: {kind: echo}\n  a: {kind: anthropic}\n", 3, "providers.a: api_key is missing"),
        ("providers:\n  d: {kind: deepseek}\n", 2, "providers.d: api_key is missing"),
        ("server: {host: ''}\n", 1, "server.host: is empty"),
    ],
)
def test_check_refuses_what_serve_refuses(chatvault: Program, text: str, line: int, message: str) -> None:
    chatvault.write_settings(text)
    refused = chatvault.run("config", "check")

    assert refused.code == 2
    assert refused.err.startswith(f"Error: {chatvault.places.config}:{line}: {message}")
    assert refused.err.splitlines()[1].startswith("Try: ")
    served = subprocess.run(
        [sys.executable, "-m", "chatvault", "serve", "--port", "0"],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (served.returncode, served.stderr) == (2, refused.err)
    assert not chatvault.places.control_socket.exists(), "what failed to start leaves no socket"


def test_serve_takes_no_host_that_is_none(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")
    outcome = chatvault.run("serve", "--host", "")

    assert (outcome.code, outcome.err.splitlines()[0]) == (2, "Error: --host: is empty")


def test_check_counts_one_provider_in_the_singular(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")

    assert chatvault.run("config", "check").out.strip().endswith("is valid: 1 provider, 0 aliases")


def test_a_home_that_is_a_file_is_told_with_what_to_do(
    chatvault: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHATVAULT_HOME", str(tmp_path / "file"))
    for words in (["config", "check"], ["tokens", "add", "x"]):
        outcome = chatvault.run(*words)

        assert outcome.code in (1, 2)
        assert "Try: set CHATVAULT_HOME to a folder" in outcome.err
