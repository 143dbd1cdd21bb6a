"""What Ollama says when it doesn't answer, as ChatVault's errors.

A refusal is `{"error":"text"}`; where its runner refused, the text is itself JSON with the runner's error
object; an unknown path and a foreign Host header get plain text or nothing.
"""

from collections.abc import Sequence

import msgspec

from chatvault.errors import ProviderAuthFailed, ProviderError, ProviderFailed, ProviderRefused
from chatvault.providers import refusals
from chatvault.providers.wire import UNREADABLE

_NOTED_CHARS = 300
_SHOWN_NAMES = 20


class _Runner(msgspec.Struct):
    message: str = ""
    type: str | None = None


class _Nested(msgspec.Struct):
    error: _Runner


class _Body(msgspec.Struct):
    error: str | _Runner


_decode_body = msgspec.json.Decoder(_Body).decode
_decode_nested = msgspec.json.Decoder(_Nested).decode


def refusal(
    provider: str, status: int, body: bytes, *, model: str | None = None, retry_after: str | None = None
) -> ProviderError:
    """Return the error for an answer of `status` other than 200; `model` is what was asked for, if any."""
    said = _unwrap(body)
    error = _own(provider, status, said, model)
    if error is None:
        return refusals.refusal(provider, status, body, retry_after=retry_after)
    detail = refusals.note(said.message)
    error.detail = None if detail is not None and detail in error.message else detail
    return error


def _own(provider: str, status: int, said: _Runner, model: str | None) -> ProviderError | None:
    text = said.message
    if status in (401, 403):
        return ProviderAuthFailed(
            f"{provider} turned ChatVault away",
            hint=_note(text) or "it answers to its own name only: look at OLLAMA_HOST and OLLAMA_ORIGINS",
            upstream_status=status,
        )
    if status == 404 and model is not None and "model" in text and "not found" in text:
        return ProviderRefused(
            f"the model {model!r} is not installed on {provider}",
            status=404,
            code="model_not_found",
            param="model",
        )
    # "exceeds the available context size", "exceeded max context length": the words vary with the runner.
    if 400 <= status < 500 and (
        said.type == "exceed_context_size_error" or ("exceed" in text and "context" in text)
    ):
        return ProviderRefused(
            f"the prompt is longer than the model's context: {text}",
            status=400,
            code="context_length_exceeded",
            param="messages",
        )
    if status in (404, 405):
        return ProviderFailed(
            f"{provider} doesn't know the path it was called with",
            hint=f"is it an Ollama? check providers.{provider}.base_url",
            upstream_status=status,
        )
    if status >= 500 and status != 503:
        # It may be a log line of another request, or name files: clients get to see the one useful case.
        is_known = "requires more system memory" in text
        return ProviderFailed(
            f"{provider}: {text}" if is_known else f"{provider} failed ({status})",
            hint="take a smaller model, or a smaller num_ctx" if is_known else _note(text),
            upstream_status=status,
        )
    return None


def missing_model_hint(model: str, installed: Sequence[str]) -> str:
    """Return what to do about a model that isn't there: for the owner, not for every client."""
    names = ", ".join(installed[:_SHOWN_NAMES]) or "none"
    return f"ollama pull {model}; installed: {names}"


def _unwrap(body: bytes) -> _Runner:
    try:
        error = _decode_body(body).error
    except UNREADABLE:
        return _Runner(body[:_NOTED_CHARS].decode(errors="replace").strip())
    if isinstance(error, _Runner):
        return error
    try:
        return _decode_nested(error).error
    except UNREADABLE:
        return _Runner(error)


def _note(text: str) -> str | None:
    return text[:_NOTED_CHARS] or None
