"""Tests of the door."""

import secrets
from dataclasses import replace

import pytest

from chatvault.core.access import AccessToken, new_secret, secret_hash
from chatvault.gateway.auth import PROBE_ID, Doorkeeper

SECRET = new_secret(secrets.choice)
TOKEN = AccessToken("tok_1", "phone", "me", 0, SECRET[-4:])


def door(*tokens: AccessToken, now_ms: int = 1000) -> Doorkeeper:
    keeper = Doorkeeper(lambda: now_ms)
    keeper.replace([(token, secret_hash(SECRET)) for token in tokens])
    return keeper


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer " + SECRET.encode()),
        (b"authorization", b"bearer  " + SECRET.encode() + b" "),
        (b"x-api-key", SECRET.encode()),
    ],
)
def test_a_valid_access_token_opens_in_either_header(header: tuple[bytes, bytes]) -> None:
    keeper = door(TOKEN)
    assert keeper.identify([(b"host", b"x"), header]) is TOKEN
    assert keeper.identify([header]) is TOKEN


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b""),
        (b"authorization", b"Bearer"),
        (b"authorization", b"Bearer "),
        (b"authorization", SECRET.encode()),
        (b"authorization", b"Basic " + SECRET.encode()),
        (b"authorization", b"Bearer " + SECRET.encode()[:-1] + b"!"),
        (b"authorization", b"Bearer " + new_secret(secrets.choice).encode()),
        (b"authorization", b"Bearer \xff\xfe"),
        (b"x-api-key", b"Bearer " + SECRET.encode()),
        (b"cookie", SECRET.encode()),
    ],
)
def test_anything_else_does_not(header: tuple[bytes, bytes]) -> None:
    assert door(TOKEN).identify([header]) is None


def test_a_right_key_opens_beside_a_wrong_one() -> None:
    headers = [(b"authorization", b"Bearer dummy"), (b"x-api-key", SECRET.encode())]
    assert door(TOKEN).identify(headers) is TOKEN


def test_a_revocation_holds_from_the_next_request_on() -> None:
    keeper = door(TOKEN)
    header = [(b"x-api-key", SECRET.encode())]
    assert keeper.identify(header) is TOKEN
    keeper.replace([(replace(TOKEN, revoked_at=1), secret_hash(SECRET))])
    assert keeper.identify(header) is None


def test_an_access_token_stops_opening_when_it_expires() -> None:
    header = [(b"x-api-key", SECRET.encode())]
    now = [999]
    keeper = Doorkeeper(lambda: now[0])
    keeper.replace([(replace(TOKEN, expires_at=1000), secret_hash(SECRET))])
    assert keeper.identify(header) is not None
    now[0] = 1000
    assert keeper.identify(header) is None


def test_a_probe_opens_for_the_echo_alone_and_a_short_time() -> None:
    now = [0]
    keeper = Doorkeeper(lambda: now[0])
    secret = new_secret(secrets.choice)
    keeper.admit_probe(secret, until_ms=60_000)
    header = [(b"x-api-key", secret.encode())]
    probe = keeper.identify(header)
    assert probe is not None
    assert probe.id == PROBE_ID
    assert probe.allows("echo/echo", "echo/echo", is_local=True)
    assert not probe.allows("claude", "anthropic/claude", is_local=False)
    now[0] = 60_000
    assert keeper.identify(header) is None
