"""Access tokens."""

import hashlib
import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.access import AccessToken, is_well_formed, new_secret, secret_hash

SECRET = new_secret(secrets.choice)


def token(**changes: object) -> AccessToken:
    values: dict[str, object] = {
        "id": "tok_1",
        "name": "phone",
        "user": "me",
        "created_at": 0,
        "last_four": "abcd",
    }
    return AccessToken(**(values | changes))  # type: ignore[arg-type]


def test_a_new_secret_has_the_published_shape() -> None:
    assert re.fullmatch(r"cvk_[0-9A-Za-z]{38}", SECRET)
    assert is_well_formed(SECRET)
    assert new_secret(secrets.choice) != SECRET


@given(index=st.integers(4, 41), char=st.sampled_from("0aZ"))
def test_a_typo_fails_the_checksum(index: int, char: str) -> None:
    typed = SECRET[:index] + char + SECRET[index + 1 :]

    assert is_well_formed(typed) == (typed == SECRET)


@given(st.text(max_size=60))
def test_any_other_text_is_not_well_formed(text: str) -> None:
    assert not is_well_formed(text)


def test_what_is_stored_is_its_sha_256() -> None:
    assert secret_hash(SECRET) == hashlib.sha256(SECRET.encode()).digest()


@pytest.mark.parametrize(
    ("changes", "is_valid"),
    [({}, True), ({"expires_at": 1001}, True), ({"expires_at": 1000}, False), ({"revoked_at": 1}, False)],
)
def test_a_token_is_valid_until_it_expires_or_is_revoked(changes: dict[str, object], is_valid: bool) -> None:
    assert token(**changes).is_valid(1000) is is_valid


@pytest.mark.parametrize(
    ("models", "name", "route", "is_allowed"),
    [
        ((), "fast", "ollama/llama", True),
        (("fast",), "fast", "ollama/llama", True),
        (("ollama/*",), "fast", "ollama/llama", True),
        (("claude-haiku-*",), "claude-haiku-5-5", "anthropic/claude-haiku-5-5", True),
        (("claude-haiku-*",), "claude-opus-5-5", "anthropic/claude-opus-5-5", False),
        (("FAST",), "fast", "ollama/llama", False),
    ],
)
def test_globs_match_the_name_or_the_route(
    models: tuple[str, ...], name: str, route: str, is_allowed: bool
) -> None:
    assert token(models=models).allows(name, route, is_local=True) is is_allowed


def test_a_local_token_reaches_nothing_outside() -> None:
    assert token(is_local_only=True).allows("m", "ollama/m", is_local=True)
    assert not token(is_local_only=True, models=("*",)).allows("m", "anthropic/m", is_local=False)
