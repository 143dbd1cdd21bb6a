"""Credentials hidden in text."""

import pytest

from chatvault.core.redaction import redact


@pytest.mark.parametrize(
    "text",
    [
        "invalid x-api-key sk-ant-api03-SECRETSECRET",
        "key=sk-SECRETSECRET0123",
        "'cvk_SECRETSECRETSECRETSECRETSECRET0123456789'",
        "Authorization: Bearer SECRET.SECRET",
        '{"x-api-key": "SECRETSECRET"}',
        '"authorization":"SECRETSECRET"',
        "authorization: bearer sk-SECRETSECRET",
        "Authorization: Basic U0VDUkVUSECRET=",
        "api_key=SECRETSECRET&x=1",
        "https://x/?api-key=SECRETSECRET",
        "api_key: SECRETSECRET0123456789",
        "authorization: SECRETSECRETSECRETSECRET",
        "Bearer SECRETSECRET".lower().replace("secret", "SECRET"),
    ],
)
def test_a_credential_is_hidden(text: str) -> None:
    assert "SECRET" not in redact(text)
    assert "…" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "task-oriented-dialogue",
        "ask-something-long",
        "the bearer of news",
        "claude-sonnet-5-5",
        "risk-assessment",
        "/c.yaml:4: providers.a.api_key: ANTHROPIC_API_KEY is neither in the environment nor in /x/.env",
        "/c.yaml:4: providers.a.api_key: KEY_2_OF_3 is a placeholder, not a key",
        "/c.yaml:4: providers.a.api_key: /run/Secrets/key-2026.txt can't be read",
        "/c.yaml:4: providers.a.apikey: unknown key",
        "/c.yaml:4: providers.a.api_key: systemd has handed over no credential 'x'",
        "api_key: expected text, got a list",
        "write the header as Authorization: Bearer, then the access token",
        "bearer tokens cross the network in clear",
        "basic settings: all there",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_what_stands_around_a_key_stays() -> None:
    assert redact("401 for sk-ant-api03-abcdefgh, twice") == "401 for sk-ant-…, twice"
