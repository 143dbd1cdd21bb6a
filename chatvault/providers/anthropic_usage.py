"""Anthropic's `usage` objects, and what they say in ChatVault's words.

A stream tells its usage twice, and the second time more: input grows while a server's tool runs. The last
value of each field holds, but for zeros: a message's end may repeat its input as 0. Runs beside the answer
itself (a compaction, an advisor's model) are billed, and stand in `iterations` alone.
"""

import re
from dataclasses import replace

import msgspec

from chatvault.core.usage import Pass, Usage, UsageBasis
from chatvault.providers.wire import count

# Whatever stands there: `count` says what can be one.
Count = object

_WORD = re.compile(r"[a-z][a-z_]{1,20}")
_NEUTRAL = frozenset({"standard", "global", "not_available", "auto", "default"})


class CacheCreation(msgspec.Struct):
    """A cache write by its lifetime."""

    ephemeral_5m_input_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None


class ServerToolUse(msgspec.Struct):
    """What the provider's own tools did."""

    web_search_requests: Count = None


class OutputDetails(msgspec.Struct):
    """The parts of `output_tokens`."""

    thinking_tokens: Count = None


class Iteration(msgspec.Struct):
    """One run of a model inside the call; `model` is told where it is another one."""

    type: str | None = None
    model: str | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None


class WireUsage(msgspec.Struct):
    """A `usage` object; `input_tokens` excludes what was read from a cache or written to one."""

    input_tokens: Count = None
    output_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: ServerToolUse | None = None
    iterations: list[Iteration] | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None


def merged(known: WireUsage, told: WireUsage) -> WireUsage:
    """Return `known` with every field that `told` has something to say of."""
    for name in WireUsage.__struct_fields__:
        value = getattr(told, name)
        is_news = getattr(known, name) is None or name == "output_tokens" or not _is_nothing(value)
        if value is not None and is_news:
            setattr(known, name, value)
    return known


def _is_nothing(value: object) -> bool:
    # Counts only grow: a zero where there was a number means that it is told elsewhere.
    if isinstance(value, msgspec.Struct):
        return not any(getattr(value, name) for name in value.__struct_fields__)
    return not value


def usage_of(wire: WireUsage, *, model: str | None, is_final: bool = True) -> Usage:
    """Return what a usage says; `model` is the one that answered.

    Until the answer has ended (`is_final`), its output is not known: what a stream says of it at its start is
    a placeholder.
    """
    modifiers = _modifiers(wire)
    searches = count(wire.server_tool_use.web_search_requests) if wire.server_tool_use is not None else None
    whole = _counts(wire, modifiers=modifiers, web_searches=searches or 0)
    if whole.input_tokens == 0:
        # No prompt is of no tokens: a server that says so has not counted.
        whole = replace(whole, input_tokens=None, basis=UsageBasis.ESTIMATED)
    if not is_final:
        return Usage(
            input_tokens=whole.input_tokens,
            cached_tokens=whole.cached_tokens,
            cache_write_tokens=whole.cache_write_tokens,
            cache_write_1h_tokens=whole.cache_write_1h_tokens,
            web_searches=whole.web_searches,
            modifiers=modifiers,
        )
    runs = wire.iterations or []
    if not runs or (len(runs) == 1 and runs[0].model in (None, model)):
        return whole
    passes = tuple(Pass(_counts(run), run.model if run.model != model else None) for run in runs)
    return Usage(
        input_tokens=_sum(passes, "input_tokens"),
        cached_tokens=_sum(passes, "cached_tokens"),
        cache_write_tokens=_sum(passes, "cache_write_tokens"),
        cache_write_1h_tokens=_sum(passes, "cache_write_1h_tokens"),
        output_tokens=_sum(passes, "output_tokens"),
        reasoning_tokens=_sum(passes, "reasoning_tokens"),
        web_searches=whole.web_searches,
        modifiers=modifiers,
        passes=passes,
    )


def _counts(wire: WireUsage | Iteration, *, modifiers: tuple[str, ...] = (), web_searches: int = 0) -> Usage:
    fresh = count(wire.input_tokens)
    written, read = _written(wire), count(wire.cache_read_input_tokens)
    told = (wire.input_tokens, wire.cache_creation_input_tokens, wire.cache_read_input_tokens)
    is_odd = any(each is not None and count(each) is None for each in told)
    details = wire.output_tokens_details
    return Usage(
        input_tokens=None if fresh is None or is_odd else fresh + (written or 0) + (read or 0),
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=_written_1h(wire.cache_creation, written),
        output_tokens=count(wire.output_tokens),
        reasoning_tokens=count(details.thinking_tokens) if details is not None else None,
        web_searches=web_searches,
        modifiers=modifiers,
        basis=UsageBasis.ESTIMATED if is_odd else UsageBasis.PROVIDER,
    )


def _written(wire: WireUsage | Iteration) -> int | None:
    split = wire.cache_creation
    if wire.cache_creation_input_tokens is not None or split is None:
        return count(wire.cache_creation_input_tokens)
    told = [count(split.ephemeral_5m_input_tokens), count(split.ephemeral_1h_input_tokens)]
    known = [each for each in told if each is not None]
    return sum(known) if known else None


def _written_1h(split: CacheCreation | None, written: int | None) -> int | None:
    # A stream's total may be newer than its split: a split that doesn't sum up to it says nothing.
    if split is None or written is None:
        return None
    for_an_hour = count(split.ephemeral_1h_input_tokens) or 0
    return for_an_hour if (count(split.ephemeral_5m_input_tokens) or 0) + for_an_hour == written else None


def _sum(passes: tuple[Pass, ...], name: str) -> int | None:
    known = [value for run in passes if (value := getattr(run.usage, name)) is not None]
    return sum(known) if known else None


def _modifiers(wire: WireUsage) -> tuple[str, ...]:
    found = []
    for kind, value in (("speed", wire.speed), ("geo", wire.inference_geo), ("tier", wire.service_tier)):
        if value is not None and value not in _NEUTRAL and _WORD.fullmatch(value):
            found.append(f"{kind}:{value}")
    return tuple(found)
