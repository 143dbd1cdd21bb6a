"""Answers in OpenAI's shape for scripted providers, and settings that send the gateway to one."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.scripted import Answer, Script, Seen, Step, data, event_stream, json_answer

UPSTREAM_KEY = "sk-upstream-4f1d0a9c7b"
MODEL = "mock/fixed"
INPUT_TOKENS, OUTPUT_TOKENS = 11, 7
# USD per million tokens, and what the usage above costs at that price: 11 × 1,000,000 + 7 × 2,000,000.
PRICE = {"model": "fixed", "per_mtok": {"input": 1, "output": 2}}
COST_PICOUSD = 25_000_000
USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def provider(url: str, **more: Any) -> dict[str, Any]:
    """Settings of an OpenAI-shaped provider at `url`."""
    return {"kind": "openai_compatible", "base_url": f"{url}/v1", "api_key": UPSTREAM_KEY, **more}


def settings(url: str, *, server: Mapping[str, Any] | None = None, **of_provider: Any) -> dict[str, Any]:
    """Settings with `echo` and the scripted provider `mock`, whose model `fixed` has a price."""
    return {
        "server": dict(server or {}),
        "providers": {"mock": provider(url, **of_provider), "echo": {"kind": "echo"}},
        "prices": {"overrides": [PRICE]},
    }


def chunk(text: str | None = None, *, finish: str | None = None) -> bytes:
    """One event with a piece of text, or the one that ends the answer."""
    delta = {} if text is None else {"content": text}
    return _event([{"index": 0, "delta": delta, "finish_reason": finish}])


def usage_chunk() -> bytes:
    """The event that holds nothing but the usage."""
    return _event([], USAGE)


def _event(choices: Sequence[Any], usage: Mapping[str, int] | None = None) -> bytes:
    value = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "fixed"}
    return data({**value, "choices": choices, **({"usage": usage} if usage else {})})


DONE = data("[DONE]")


def streamed(words: Sequence[str] = ("one ", "two ", "three"), *, pause: float = 0.0) -> Answer:
    """A whole streamed answer, usage included; `pause` in seconds lies between its words."""
    steps: list[Step] = []
    for word in words:
        steps += [chunk(word), pause] if pause else [chunk(word)]
    return event_stream(*steps, chunk(finish="stop"), usage_chunk(), DONE)


def whole(text: str = "one two three") -> Answer:
    """A whole answer in JSON."""
    message = {"role": "assistant", "content": text}
    return json_answer(
        {
            "id": "up-1",
            "object": "chat.completion",
            "created": 1,
            "model": "fixed",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    )


def fitting(seen: Seen) -> Answer:
    """Answer as asked: streamed or whole."""
    return streamed() if seen.json.get("stream") else whole()


def refusal(status: int, message: str = "no", **headers: str) -> Script:
    """A script that always refuses."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": None}}
    return lambda seen: json_answer(body, status, **headers)
