"""The `usage` object of OpenAI-shaped providers, and what it says in ChatVault's words."""

import msgspec

from chatvault.core.usage import Usage

Count = int | float | None


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


def count(value: Count) -> int | None:
    """Return a token count as it may be written down; what can't be one is unknown."""
    return int(value) if value is not None and 0 <= value < 2**53 else None


def usage_of(wire: WireUsage) -> Usage:
    """Return what a `usage` object says.

    DeepSeek may tell its cache hits outside `prompt_tokens_details` alone
    (https://api-docs.deepseek.com/guides/kv_cache).
    """
    prompt = count(wire.prompt_tokens)
    hit, miss = count(wire.prompt_cache_hit_tokens), count(wire.prompt_cache_miss_tokens)
    cached = count(wire.prompt_tokens_details.cached_tokens) if wire.prompt_tokens_details else None
    if cached is None:
        cached = hit
    if prompt is None and hit is not None and miss is not None:
        prompt = hit + miss
    details = wire.completion_tokens_details
    return Usage(
        input_tokens=prompt,
        cached_tokens=cached,
        output_tokens=count(wire.completion_tokens),
        reasoning_tokens=count(details.reasoning_tokens) if details else None,
    )
