"""How much a model takes in and can produce."""

from dataclasses import dataclass
from functools import lru_cache

from chatvault.core.model_ids import ANTHROPIC, DEEPSEEK, spellings


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tokens a model takes in all, and how many it can produce at most (None: not known)."""

    context_tokens: int
    max_output_tokens: int | None


# Context and output limits from litellm 1.109.1's bundled map; retired Claude ids from its Bedrock and Vertex
# entries; fable-5-2 and mythos-5-2 from genai-prices 0.2.3, which has no output limits.
_LIMITS = {
    (ANTHROPIC, "claude-opus-5-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-4-8"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-4-7"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-4-6"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-4-5"): Limits(200_000, 64_000),
    (ANTHROPIC, "claude-sonnet-5-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-sonnet-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-sonnet-4-6"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-sonnet-4-5"): Limits(200_000, 64_000),
    (ANTHROPIC, "claude-haiku-5-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-haiku-4-5"): Limits(200_000, 64_000),
    (ANTHROPIC, "claude-fable-5-2"): Limits(1_000_000, None),
    (ANTHROPIC, "claude-mythos-5-2"): Limits(1_000_000, None),
    (ANTHROPIC, "claude-fable-5-1"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-mythos-5-1"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-fable-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-mythos-5"): Limits(1_000_000, 128_000),
    (ANTHROPIC, "claude-opus-4-1"): Limits(200_000, 32_000),
    (ANTHROPIC, "claude-opus-4"): Limits(200_000, 32_000),
    (ANTHROPIC, "claude-sonnet-4"): Limits(200_000, 64_000),
    (ANTHROPIC, "claude-3-7-sonnet"): Limits(200_000, None),
    (ANTHROPIC, "claude-3-5-sonnet"): Limits(200_000, 8_192),
    (ANTHROPIC, "claude-3-5-haiku"): Limits(200_000, 8_192),
    (ANTHROPIC, "claude-3-opus"): Limits(200_000, 4_096),
    (ANTHROPIC, "claude-3-haiku"): Limits(200_000, 4_096),
    (DEEPSEEK, "deepseek-flash"): Limits(1_000_000, 393_216),
    (DEEPSEEK, "deepseek-v4-flash-vision-exp"): Limits(1_000_000, 393_216),
    (DEEPSEEK, "deepseek-v4-pro"): Limits(1_000_000, 393_216),
    (DEEPSEEK, "deepseek-chat"): Limits(131_072, 8_192),
    (DEEPSEEK, "deepseek-reasoner"): Limits(131_072, 65_536),
}


@lru_cache(maxsize=1024)
def limits(kind: str, model: str) -> Limits | None:
    """Return a model's limits, None where they aren't known."""
    for name in spellings(kind, model):
        found = _LIMITS.get((kind, name))
        if found is not None:
            return found
    return None
