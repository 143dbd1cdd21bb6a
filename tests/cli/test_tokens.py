"""Access tokens, with and without a daemon."""

import stat
from datetime import UTC, datetime, timedelta

import pytest

from chatvault.control.lock import WriterLock
from chatvault.core.access import is_well_formed
from chatvault.core.chat import JsonObject
from tests.support.control import serving
from tests.support.program import Program


def test_a_new_token_is_shown_once_with_the_way_to_try_it(chatvault: Program) -> None:
    chatvault.write_settings("server: {port: 4711}")
    outcome = chatvault.run("tokens", "add", "phone")
    secret = outcome.out.strip()

    assert outcome.code == 0
    assert is_well_formed(secret)
    assert "Base URL  http://127.0.0.1:4711/v1" in outcome.err
    assert f'curl http://127.0.0.1:4711/v1/models -H "Authorization: Bearer {secret}"' in outcome.err
    listed = chatvault.run("tokens", "list")
    assert secret not in listed.out
    assert f"…{secret[-4:]}" in listed.out


def test_a_new_token_as_json(chatvault: Program) -> None:
    words = ["--user", "ann", "--models", "claude-*, fast", "--local-only", "--expires", "90d", "--json"]
    found = chatvault.run("tokens", "add", "lap", *words).json

    assert is_well_formed(found["secret"])
    assert (found["name"], found["user"], found["models"]) == ("lap", "ann", ["claude-*", "fast"])
    assert found["local_only"] is True
    left = datetime.fromisoformat(found["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)
    assert [each["id"] for each in chatvault.run("tokens", "list", "--json").json["tokens"]] == [found["id"]]
    users = chatvault.run("users", "list", "--json").json["users"]
    assert [(each["name"], each["tokens"]) for each in users] == [("ann", 1)]


def test_the_database_is_private_and_the_change_is_in_the_chain(chatvault: Program) -> None:
    chatvault.run("tokens", "add", "phone")
    entries = chatvault.run("audit", "tail", "--json").json["entries"]

    assert stat.S_IMODE(chatvault.places.database.stat().st_mode) == 0o600
    assert "token.added" in [each["kind"] for each in entries]
    assert chatvault.run("audit", "verify", "--full", "--json").json["ok"] is True


def test_a_revoked_token_is_gone_from_the_list(chatvault: Program) -> None:
    token_id = chatvault.run("tokens", "add", "phone", "--json").json["id"]

    assert chatvault.run("tokens", "revoke", "phone", "--json").json["id"] == token_id
    assert chatvault.run("tokens", "list", "--json").json["tokens"] == []
    assert len(chatvault.run("tokens", "list", "--all", "--json").json["tokens"]) == 1
    assert chatvault.run("tokens", "revoke", "phone").code == 2


def test_a_rotated_token_has_another_secret(chatvault: Program) -> None:
    first = chatvault.run("tokens", "add", "phone", "--json").json
    second = chatvault.run("tokens", "rotate", first["id"], "--grace", "1h", "--json").json

    assert second["id"] == first["id"]
    assert is_well_formed(second["secret"]) and second["secret"] != first["secret"]
    assert chatvault.run("tokens", "rotate", "phone", "--grace", "0").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["add", "tok_abc"],
        ["add", "a b"],
        ["add", "../x"],
        ["add", "x\x1b[2J"],
        ["add", "x", "--user", "a/b"],
        ["add", "x", "--expires", "90"],
        ["add", "x", "--expires", "0d"],
        ["add", "x", "--expires", "999999999w"],
        ["add", "x", "--models", "a b"],
        ["rotate", "x", "--grace", "soon"],
        ["revoke", "nobody"],
    ],
)
def test_a_wrong_order_is_refused_and_changes_nothing(chatvault: Program, words: list[str]) -> None:
    chatvault.run("tokens", "add", "there")
    before = chatvault.run("audit", "tail", "--json").json
    outcome = chatvault.run("tokens", *words)

    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert chatvault.run("audit", "tail", "--json").json == before


def test_a_lock_that_is_held_by_something_silent_is_exit_6(chatvault: Program) -> None:
    chatvault.places.run_dir.mkdir(mode=0o700)
    with WriterLock.acquire(chatvault.places.lock):
        outcome = chatvault.run("tokens", "add", "phone")

    assert outcome.code == 6
    assert not chatvault.places.database.exists()


def test_with_a_daemon_the_change_is_the_daemons(chatvault: Program) -> None:
    orders: list[JsonObject] = []

    async def add(body: JsonObject) -> JsonObject:
        orders.append(body)
        return {"id": "tok_1", "name": "phone", "secret": "cvk_x", "base_url": "https://h:1/v1"}

    chatvault.places.run_dir.mkdir(mode=0o700)
    with serving(chatvault.places.control_socket, {("POST", "/v1/tokens"): add}):
        outcome = chatvault.run("tokens", "add", "phone", "--models", "a,b")

    assert outcome.code == 0
    assert "https://h:1/v1" in outcome.err
    (order,) = orders
    assert (order["name"], order["user"], order["models"]) == ("phone", "me", ["a", "b"])
    assert not chatvault.places.database.exists()


@pytest.mark.parametrize("models", ["", ",", " , "])
def test_a_list_of_no_models_is_no_free_pass(chatvault: Program, models: str) -> None:
    outcome = chatvault.run("tokens", "add", "phone", "--models", models)

    assert outcome.code == 2
    assert outcome.err.startswith("Error: the list of models names none\nTry: --models")
    assert not chatvault.places.database.exists(), "nothing was made"
