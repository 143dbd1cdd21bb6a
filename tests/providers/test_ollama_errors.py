"""What Ollama's refusals mean."""

import json

import pytest

from chatvault.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
)
from chatvault.providers.ollama_errors import missing_model_hint, refusal

OVERLONG = {
    "error": json.dumps(
        {
            "error": {
                "code": 400,
                "message": "request (3010 tokens) exceeds the available context size (1024 tokens)",
                "type": "exceed_context_size_error",
            }
        }
    )
}


def read(status: int, body: bytes | object, retry_after: str | None = None) -> ProviderError:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal("ollama", status, sent, model="llama3", retry_after=retry_after)


@pytest.mark.parametrize("text", ["model 'llama3' not found", 'model "llama3" not found, try pulling it'])
def test_a_missing_model_is_a_404(text: str) -> None:
    error = read(404, {"error": text})
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.code, error.param) == (404, "model_not_found", "model")
    assert error.message == "the model 'llama3' is not installed on ollama"


@pytest.mark.parametrize(
    "body",
    [
        OVERLONG,
        {"error": "prompt too long; exceeded max context length by 12 tokens"},
        {"error": "the input length exceeds the context length"},
    ],
)
def test_an_over_long_prompt_says_so(body: object) -> None:
    error = read(400, body)
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.code, error.type) == (400, "context_length_exceeded", "invalid_request_error")
    assert "error" not in error.message, "the nested JSON is unwrapped"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "llama3 does not support tools"}, "llama3 does not support tools"),
        (
            {"error": '{"error":{"code":400,"message":"Multimodal data provided","type":"x"}}'},
            "Multimodal data provided",
        ),
        ({"error": "{not json"}, "{not json"),
    ],
)
def test_a_capability_that_lacks_passes_with_its_message(body: object, message: str) -> None:
    error = read(400, body)
    assert isinstance(error, ProviderRefused)
    assert (error.status, error.message) == (400, message)


@pytest.mark.parametrize(("status", "body"), [(403, b""), (401, {"error": "unauthorized"})])
def test_being_turned_away_is_no_clients_fault(status: int, body: bytes | object) -> None:
    error = read(status, body)
    assert isinstance(error, ProviderAuthFailed)
    assert (error.status, error.code) == (502, "upstream_auth")
    assert error.hint


def test_a_full_queue_is_overload() -> None:
    error = read(503, {"error": "server busy, please try again"}, retry_after="7")
    assert isinstance(error, ProviderOverloaded)
    assert (error.status, error.retry_after, error.is_retryable) == (503, 7, True)


def test_a_failing_runner_keeps_its_words_from_clients() -> None:
    error = read(500, {"error": "llama runner process has terminated: /home/me/blob"})
    assert isinstance(error, ProviderFailed)
    assert error.message == "ollama failed (500)"
    assert "/home/me/blob" in (error.hint or "")


def test_too_little_memory_is_said_aloud() -> None:
    text = "model requires more system memory (5.6 GiB) than is available (3.2 GiB)"
    error = read(500, {"error": text})
    assert isinstance(error, ProviderFailed) and text in error.message


@pytest.mark.parametrize(("status", "body"), [(404, b"404 page not found"), (405, b"method not allowed")])
def test_an_unknown_path_is_no_missing_model(status: int, body: bytes) -> None:
    error = read(status, body)
    assert isinstance(error, ProviderFailed)
    assert "base_url" in (error.hint or "")


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b'{"error":null}', b'{"error":{"error":1}}'])
@pytest.mark.parametrize("status", [400, 404, 418, 500, 302])
def test_no_body_is_too_odd(status: int, body: bytes) -> None:
    assert isinstance(read(status, body), ProviderError)


def test_the_hint_lists_what_is_installed() -> None:
    assert missing_model_hint("a", ["b", "c"]) == "ollama pull a; installed: b, c"
    assert missing_model_hint("a", []) == "ollama pull a; installed: none"


def test_the_runners_words_are_for_the_log() -> None:
    error = read(500, {"error": "llama runner died: /home/ann/x\x1b[2J"})
    assert error.message == "ollama failed (500)"
    assert error.detail == "llama runner died: /home/ann/x\\x1b[2J"
    assert read(404, {"error": "model 'llama3' not found"}).detail == "model 'llama3' not found"
