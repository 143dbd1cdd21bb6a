"""What doctor finds."""

import pytest

from chatvault.cli import checkup
from chatvault.cli.daemon_checks import check_books
from chatvault.core.chat import JsonObject
from tests.support.program import Program


def statuses(chatvault: Program) -> dict[str, str]:
    return {each["name"]: each["status"] for each in chatvault.run("doctor", "--json").json["checks"]}


def test_a_fresh_setup_is_fine(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")
    chatvault.run("tokens", "add", "phone")
    outcome = chatvault.run("doctor")
    found = statuses(chatvault)

    assert outcome.code == 0
    assert outcome.out.splitlines()[-1].startswith("No issues found.")
    assert (found["Program"], found["Settings"], found["Permissions"]) == ("pass", "pass", "pass")
    assert (found["Database"], found["echo"]) == ("pass", "pass")


def test_what_was_skipped_has_not_passed(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")
    outcome = chatvault.run("doctor")

    assert statuses(chatvault)["Gateway"] == "skip"
    assert "[-] Gateway" in outcome.out
    assert "skipped: the daemon is not running" in outcome.out
    assert "skipped." in outcome.out.splitlines()[-1]


def test_bad_settings_fail_and_the_rest_is_still_looked_at(chatvault: Program) -> None:
    chatvault.write_settings("server: {prot: 1}")
    outcome = chatvault.run("doctor", "--json")
    found = {each["name"]: each for each in outcome.json["checks"]}

    assert (outcome.code, outcome.json["ok"]) == (1, False)
    assert (found["Settings"]["status"], found["Settings"]["fix"]) == ("fail", "did you mean port?")
    assert (found["Providers"]["status"], found["Program"]["status"]) == ("skip", "pass")


def test_a_file_others_can_read_fails_with_the_command_that_mends_it(chatvault: Program) -> None:
    chatvault.write_settings("providers: {echo: {kind: echo}}")
    chatvault.places.env_file.write_text("A=b")
    chatvault.places.env_file.chmod(0o644)
    outcome = chatvault.run("doctor")

    assert outcome.code == 1
    assert f"    ✗ Fix: chmod 600 {chatvault.places.env_file}" in outcome.out
    assert "Doctor found 1 problem." in outcome.out


def test_a_key_file_others_can_read_fails(chatvault: Program) -> None:
    chatvault.write_settings("providers: {home: {kind: ollama, api_key: 'file:the.key'}}")
    key = chatvault.places.config.parent / "the.key"
    key.write_text("sk-0123456789abcdef")
    key.chmod(0o640)

    assert f"Fix: chmod 600 {key}" in chatvault.run("doctor").out


def test_a_provider_that_does_not_answer_fails(chatvault: Program) -> None:
    chatvault.write_settings("providers: {home: {kind: ollama, base_url: 'http://127.0.0.1:1'}}")

    assert statuses(chatvault)["home"] == "fail"


def test_no_settings_name_init(chatvault: Program) -> None:
    assert "Fix: chatvault init" in chatvault.run("doctor").out


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.107.0", "1.107.3"])
def test_a_compromised_litellm_fails(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(checkup, "version", lambda name: version)

    assert checkup.check_program().status == "fail"


@pytest.mark.parametrize(
    ("status", "found"), [({"ledger": {"defects": 0}}, []), ({}, []), ({"ledger": {"defects": 2}}, ["fail"])]
)
def test_what_the_ledger_turned_away_fails(status: JsonObject, found: list[str]) -> None:
    checks = check_books(status)

    assert [each.status for each in checks] == found
    assert all(each.detail.startswith("2 writes went wrong") for each in checks)
