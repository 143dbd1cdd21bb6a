"""The `usage` object of OpenAI-shaped providers, and what it says in ChatVault's words."""

import msgspec

from chatvault.core.usage import Usage, UsageBasis
from chatvault.providers.wire import count, lenient

# Whatever stands there: `count` says what can be one.
Count = object


class PromptDetails(msgspec.Struct):
    """The parts of `prompt_tokens`; what was written to a cache is OpenRouter's."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None


class CompletionDetails(msgspec.Struct):
    """The parts of `completion_tokens`."""

    reasoning_tokens: Count = None


class WireUsage(msgspec.Struct):
    """OpenAI's fields, DeepSeek's for its prompt cache, and Moonshot's `cached_tokens`."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    cached_tokens: Count = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: Count = None
    prompt_cache_miss_tokens: Count = None


def usage_of(said: msgspec.Raw) -> Usage | None:
    """Return what a `usage` object says, None where there is none.

    DeepSeek may tell its cache hits outside `prompt_tokens_details` alone
    (https://api-docs.deepseek.com/guides/kv_cache). No prompt is of no tokens: a server that says so has not
    counted.
    """
    wire = lenient(said, WireUsage)
    if wire is None:
        return None
    prompt = count(wire.prompt_tokens) or None
    hit, miss = count(wire.prompt_cache_hit_tokens), count(wire.prompt_cache_miss_tokens)
    parts = wire.prompt_tokens_details or PromptDetails()
    told = (count(parts.cached_tokens), hit, count(wire.cached_tokens))
    cached = next((each for each in told if each is not None), None)
    if prompt is None and hit is not None and miss is not None:
        prompt = hit + miss or None
    output, reasoning = _output(wire, prompt)
    is_contradictory = prompt is not None and cached is not None and cached > prompt
    is_odd = is_contradictory or (prompt is None and wire.prompt_tokens is not None)
    return Usage(
        input_tokens=prompt,
        # A part is never more than the whole: who says so has counted something else.
        cached_tokens=prompt if is_contradictory else cached,
        cache_write_tokens=_written(parts, prompt, cached),
        output_tokens=output,
        reasoning_tokens=reasoning,
        basis=UsageBasis.ESTIMATED if is_odd else UsageBasis.PROVIDER,
    )


def _output(wire: WireUsage, prompt: int | None) -> tuple[int | None, int | None]:
    """Return the output's tokens and how many of them are reasoning.

    xAI and Gemini leave what was thought out of `completion_tokens`, though it is billed as they are: their
    total has it.
    """
    details = wire.completion_tokens_details
    output, reasoning = count(wire.completion_tokens), count(details.reasoning_tokens) if details else None
    total = count(wire.total_tokens)
    if output is None:
        return None, reasoning
    more = total - prompt - output if total is not None and prompt is not None else 0
    if more > 0 and reasoning in (None, 0, more):
        return output + more, reasoning or None
    if reasoning is not None and reasoning > output:
        # A part is never more than the whole: it stands beside it.
        return output + reasoning, reasoning
    return output, reasoning


def _written(parts: PromptDetails, prompt: int | None, cached: int | None) -> int | None:
    written = count(parts.cache_write_tokens)
    if written is None or prompt is None or written + (cached or 0) > prompt:
        return None
    return written
