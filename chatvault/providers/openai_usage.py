"""The `usage` object of OpenAI-shaped providers, and what it says in ChatVault's words."""

import msgspec

from chatvault.core.usage import Usage, UsageBasis
from chatvault.providers.wire import count, lenient

# Whatever stands there: `count` says what can be one.
Count = object


class PromptDetails(msgspec.Struct):
    """The parts of `prompt_tokens`."""

    cached_tokens: Count = None


class CompletionDetails(msgspec.Struct):
    """The parts of `completion_tokens`."""

    reasoning_tokens: Count = None


class WireUsage(msgspec.Struct):
    """OpenAI's fields, and DeepSeek's for its prompt cache."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count = None
    prompt_cache_miss_tokens: Count = None


def usage_of(told: msgspec.Raw) -> Usage | None:
    """Return what a `usage` object says, None where there is none.

    DeepSeek may tell its cache hits outside `prompt_tokens_details` alone
    (https://api-docs.deepseek.com/guides/kv_cache).
    """
    wire = lenient(told, WireUsage)
    if wire is None:
        return None
    prompt = count(wire.prompt_tokens)
    hit, miss = count(wire.prompt_cache_hit_tokens), count(wire.prompt_cache_miss_tokens)
    cached = count(wire.prompt_tokens_details.cached_tokens) if wire.prompt_tokens_details else None
    if cached is None:
        cached = hit
    if prompt is None and hit is not None and miss is not None:
        prompt = hit + miss
    details = wire.completion_tokens_details
    is_contradictory = prompt is not None and cached is not None and cached > prompt
    is_odd = is_contradictory or (prompt is None and wire.prompt_tokens is not None)
    return Usage(
        input_tokens=prompt,
        # A part is never more than the whole: who says so has counted something else.
        cached_tokens=prompt if is_contradictory else cached,
        output_tokens=count(wire.completion_tokens),
        reasoning_tokens=count(details.reasoning_tokens) if details else None,
        basis=UsageBasis.ESTIMATED if is_odd else UsageBasis.PROVIDER,
    )
