"""Tests of access tokens in the database."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatvault.core.access import AccessToken
from chatvault.errors import UsageError
from chatvault.store import tokens
from chatvault.store.reader import Reader
from chatvault.store.writer import Store
from tests.support.databases import opened, rows_of
from tests.support.ledger import NOON
from tests.support.tokens import a_token, secret

_LATER = NOON + 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chatvault.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with opened(path) as store:
        yield store


def _add(store: Store, token: AccessToken, number: int = 1) -> None:
    store.run(lambda tx: tokens.add(tx, token, secret(number)))


def _entries(path: Path) -> list[tuple[str, str | None, dict[str, object]]]:
    found = rows_of(path, "SELECT kind, token_id, body FROM audit ORDER BY seq")
    return [(kind, token_id, json.loads(body)) for kind, token_id, body in found]


def test_a_token_comes_back_with_all_it_allows(store: Store, path: Path) -> None:
    token = a_token(
        is_local_only=True,
        models=("claude*", "ollama/*"),
        expires_at=_LATER,
        budget="5.00/day",
        requests_per_minute=10,
        tokens_per_minute=9000,
        concurrency=2,
    )
    _add(store, token)
    with Reader.open(path) as reader:
        assert reader.tokens() == [token]
        assert tokens.load_all(reader) == [(token, secret(1))]
        assert [user.name for user in reader.users()] == ["me"]


def test_adding_is_told_to_the_chain_without_the_secret(store: Store, path: Path) -> None:
    _add(store, a_token())
    (user, added) = _entries(path)
    assert (user[0], user[2]) == ("user.added", {"user": "me"})
    assert added[:2] == ("token.added", "tok_phone1")
    assert added[2]["name"] == "phone"
    assert added[2]["models"] == ["claude*"]
    assert added[2]["token_id"] == "tok_phone1"
    assert secret(1).hex() not in json.dumps(added[2])


def test_a_live_name_is_taken(store: Store, path: Path) -> None:
    _add(store, a_token())
    with pytest.raises(UsageError, match="'phone' already") as caught:
        _add(store, a_token(id="tok_other1"), 2)
    assert caught.value.hint is not None and "revoke" in caught.value.hint
    assert rows_of(path, "SELECT count(*) FROM token") == [(1,)]
    assert len(_entries(path)) == 2


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\x07"])
def test_a_name_that_can_not_be_shown_is_refused(store: Store, name: str) -> None:
    with pytest.raises(UsageError, match="can't be"):
        _add(store, a_token(name=name))
    with pytest.raises(UsageError, match="can't be"):
        _add(store, a_token(user=name))


@pytest.mark.parametrize("called", ["phone", "tok_phone1"])
def test_a_revoked_token_opens_nothing_and_frees_its_name(store: Store, path: Path, called: str) -> None:
    _add(store, a_token())
    revoked = store.run(lambda tx: tokens.revoke(tx, called, now_ms=_LATER))
    assert revoked == a_token(revoked_at=_LATER)
    with Reader.open(path) as reader:
        assert tokens.load_all(reader) == []
        assert reader.tokens() == [revoked]
    assert _entries(path)[-1][:2] == ("token.revoked", "tok_phone1")
    _add(store, a_token(id="tok_phone2"), 2)
    assert store.run(lambda tx: tokens.revoke(tx, "phone", now_ms=_LATER)).id == "tok_phone2"


@pytest.mark.parametrize("called", ["laptop", "tok_phone1", "phone"])
def test_revoking_what_is_not_there_is_told(store: Store, called: str) -> None:
    _add(store, a_token())
    store.run(lambda tx: tokens.revoke(tx, "phone", now_ms=_LATER))
    with pytest.raises(UsageError, match="no access token"):
        store.run(lambda tx: tokens.revoke(tx, called, now_ms=_LATER))


def test_an_id_wins_over_a_token_named_like_it(store: Store) -> None:
    _add(store, a_token())
    _add(store, a_token(id="tok_other1", name="tok_phone1"), 2)
    assert store.run(lambda tx: tokens.revoke(tx, "tok_phone1", now_ms=_LATER)).name == "phone"


def test_a_rotated_token_opens_with_both_secrets_until_its_grace_ends(store: Store, path: Path) -> None:
    _add(store, a_token())
    rotated = store.run(
        lambda tx: tokens.rotate(tx, "phone", new_hash=secret(2), last_four="new4", grace_until_ms=_LATER)
    )
    assert rotated == a_token(last_four="new4")
    with Reader.open(path) as reader:
        doors = {digest: token for token, digest in tokens.load_all(reader)}
    assert doors[secret(2)].is_valid(_LATER)
    assert doors[secret(1)].is_valid(_LATER - 1)
    assert not doors[secret(1)].is_valid(_LATER)
    assert _entries(path)[-1][0] == "token.rotated"


def test_a_rotation_without_grace_shuts_the_old_secret_out(store: Store, path: Path) -> None:
    _add(store, a_token())
    store.run(lambda tx: tokens.rotate(tx, "phone", new_hash=secret(2), last_four="n", grace_until_ms=NOON))
    with Reader.open(path) as reader:
        assert [digest for _, digest in tokens.load_all(reader)] == [secret(2)]


def test_grace_does_not_outlive_the_token(store: Store, path: Path) -> None:
    _add(store, a_token(expires_at=NOON + 10))
    store.run(lambda tx: tokens.rotate(tx, "phone", new_hash=secret(2), last_four="n", grace_until_ms=_LATER))
    with Reader.open(path) as reader:
        doors = {digest: token for token, digest in tokens.load_all(reader)}
    assert doors[secret(1)].expires_at == NOON + 10


def test_an_expired_token_is_noted_once_and_frees_its_name(tmp_path: Path) -> None:
    path = tmp_path / "expiry.db"
    clock = [NOON]
    with opened(path, now_ms=lambda: clock[0]) as store:
        _add(store, a_token(expires_at=NOON + 10))
        assert store.run(tokens.note_expired) == []
        clock[0] = NOON + 10
        assert [token.id for token in store.run(tokens.note_expired)] == ["tok_phone1"]
        assert store.run(tokens.note_expired) == []
        _add(store, a_token(id="tok_phone2"), 2)
    assert [kind for kind, _, _ in _entries(path)].count("token.expired") == 1
