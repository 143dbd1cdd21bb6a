"""What a provider's refusals become."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatvault.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderTimeout,
)
from chatvault.providers.refusals import refusal, stream_error


def openai(message: str, type: str = "invalid_request_error", **more: object) -> bytes:
    return json.dumps(
        {"error": {"message": message, "type": type, "param": None, "code": None, **more}}
    ).encode()


def anthropic(message: str, type: str) -> bytes:
    return json.dumps(
        {"type": "error", "error": {"type": type, "message": message}, "request_id": "r"}
    ).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "told"),
    [
        (401, openai("Incorrect API key provided: sk-abcdefgh."), ProviderAuthFailed, 502),
        (403, anthropic("no access for key sk-ant-abcdefgh", "permission_error"), ProviderAuthFailed, 502),
        (
            400,
            b'[{"error":{"code":400,"message":"API key not valid. Please pass one."}}]',
            ProviderAuthFailed,
            502,
        ),
        (400, b'{"code":"odd","error":"Incorrect API key provided: xa***45."}', ProviderAuthFailed, 502),
        (400, openai("The tool 'api_key' is not valid"), ProviderRefused, 400),
        (429, anthropic("slow down", "rate_limit_error"), ProviderOverloaded, 429),
        (503, b"", ProviderOverloaded, 503),
        (529, anthropic("Overloaded", "overloaded_error"), ProviderOverloaded, 503),
        (408, b"", ProviderTimeout, 504),
        (400, openai("too long"), ProviderRefused, 400),
        (404, anthropic("model: claude-x", "not_found_error"), ProviderRefused, 404),
        (413, b"<html>too large</html>", ProviderRefused, 413),
        (422, b'{"detail":"no"}', ProviderRefused, 422),
        (500, openai("stack trace at 10.0.0.7"), ProviderFailed, 502),
        (502, b"<html>bad gateway</html>", ProviderFailed, 502),
        (302, b"", ProviderFailed, 502),
    ],
)
def test_the_status_says_who_is_to_blame(status, body, kind, told):
    error = refusal("up", status, body, request_id="req_1")
    assert type(error) is kind
    assert error.status == told
    assert error.upstream_status == status
    assert error.upstream_request_id == "req_1"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (openai("too long"), "too long"),
        (anthropic("prompt is too long", "invalid_request_error"), "prompt is too long"),
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (json.dumps({"error": json.dumps({"error": {"message": "deep"}})}).encode(), "deep"),
        (b'{"object":"error","message":"vLLM says no","type":"BadRequestError"}', "vLLM says no"),
        (b'[{"error":{"message":"listed"}}]', "listed"),
        (b"plain words\n", "plain words"),
        (b'{"error":{"code":"x"},"message":"beside"}', "beside"),
        (b"<!DOCTYPE html><p>nginx</p>", "up refused the request (400)"),
        (b"", "up refused the request (400)"),
        (b"\xff\xfe", "��"),
        (b"[]", "up refused the request (400)"),
    ],
)
def test_its_own_words_are_found_whatever_their_shape(body, message):
    assert refusal("up", 400, body).message == message


def test_type_code_and_param_pass_through():
    error = refusal("up", 400, openai("m", param="messages", code="context_length_exceeded"))
    assert isinstance(error, ProviderRefused)
    assert (error.type, error.code, error.param) == (
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    )
    assert not error.is_retryable


def test_an_unknown_model_has_openais_code():
    assert refusal("up", 404, anthropic("model: x", "not_found_error")).code == "model_not_found"
    assert refusal("up", 404, b"").code is None


def test_nothing_is_said_of_our_key():
    for status in (401, 403):
        error = refusal("up", status, openai("Your api key: sk-abcdefghijkl is invalid"))
        assert error.code == "upstream_auth"
        assert "abcdefgh" not in error.message
        assert error.hint == "chatvault keys set up"


def test_a_key_or_an_account_in_a_message_is_hidden():
    error = refusal("up", 400, openai("bad sk-abcdefghijkl of org-Ab12 and Bearer abcdefghijkl"))
    assert "abcdefgh" not in error.message
    assert "Ab12" not in error.message


def test_a_long_message_is_cut():
    assert len(refusal("up", 400, openai("x" * 100_000)).message) < 1100


def test_internals_of_a_5xx_stay_outside():
    assert "10.0.0.7" not in refusal("up", 500, openai("stack trace at 10.0.0.7")).message


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12),
        ("0.2", 1),
        ("0", 0),
        ("Wed, 25 Nov 2026 10:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 09:00:00 GMT", 0),
        ("soon", None),
        (None, None),
        ("-4", None),
        ("nan", None),
        ("Wed, 99 Nov 2026 10:00:30 GMT", None),
    ],
)
def test_retry_after_is_kept_in_whole_seconds(header, seconds):
    date = "Wed, 25 Nov 2026 10:00:00 GMT"
    assert refusal("up", 503, b"", retry_after=header, date=date).retry_after == seconds
    # Clients must be told something where a rate limit is reached.
    told = refusal("up", 429, b"", retry_after=header, date=date).retry_after
    assert told == (5 if seconds is None else seconds)


def test_a_date_without_the_answers_own_is_measured_against_nothing():
    assert refusal("up", 503, b"", retry_after="Wed, 25 Nov 2026 10:00:30 GMT").retry_after is None


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503, 529])
def test_the_reason_is_kept_for_the_log_alone(status):
    error = refusal("up", status, openai("no: sk-abcdefghijkl\x1b[2J of org-Ab12 " + "x" * 1000))
    assert error.detail is not None and error.detail.startswith("no: sk-…\\x1b[2J of org-… xxx")
    assert len(error.detail) == 300
    assert "of org" not in error.message


def test_what_the_client_is_told_is_not_told_twice():
    assert refusal("up", 400, openai("too long")).detail is None
    assert refusal("up", 429, openai("slow down")).detail is None
    assert refusal("up", 500, b"").detail is None


def test_an_error_under_status_200_claims_no_other_status():
    error = stream_error("up", anthropic("internal", "api_error"))
    assert (error.message, error.upstream_status, error.detail) == ("up failed (api_error)", None, "internal")
    assert stream_error("up", openai("x", "server_error", code=503)).upstream_status == 503


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, openai("Insufficient Balance", "unknown_error")),
        (400, anthropic("Your credit balance is too low to access the API.", "invalid_request_error")),
    ],
)
def test_an_empty_account_names_its_provider_and_lets_the_next_route_try(status, body):
    error = refusal("deepseek", status, body)
    assert error.status == status
    assert error.message.startswith("deepseek: ")
    assert error.is_retryable


@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        (anthropic("Overloaded", "overloaded_error"), ProviderOverloaded, 503),
        (anthropic("x", "api_error"), ProviderFailed, 502),
        (anthropic("x", "rate_limit_error"), ProviderOverloaded, 429),
        (anthropic("bad key", "authentication_error"), ProviderAuthFailed, 502),
        (openai("x", "BadRequest", code=400), ProviderRefused, 400),
        (b'{"error":{"message":"x","code":"rate_limit_exceeded"}}', ProviderOverloaded, 429),
        (b"nonsense", ProviderFailed, 502),
    ],
)
def test_inside_a_stream_the_type_stands_for_the_status(payload, kind, status):
    error = stream_error("up", payload)
    assert type(error) is kind
    assert error.status == status


@given(
    st.integers(300, 599),
    st.binary(max_size=60) | st.text(max_size=40).map(lambda t: json.dumps({"error": t}).encode()),
)
def test_any_refusal_becomes_an_error_that_can_be_told(status, body):
    error = refusal("up", status, body, retry_after="x")
    assert isinstance(error, ProviderError)
    assert error.message
    assert 400 <= error.status < 600
