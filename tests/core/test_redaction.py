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
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text) == text


def test_what_stands_around_a_key_stays() -> None:
    assert redact("401 for sk-ant-api03-abcdefgh, twice") == "401 for sk-ant-…, twice"
