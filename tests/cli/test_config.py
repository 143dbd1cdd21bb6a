"""The settings, seen and taken over."""

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
    assert outcome.err.splitlines()[1] == "Try: chatvault keys set o"


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
