"""What a recording of a provider says, read by the letter of its format and by nothing of ChatVault's.

Slow and simple on purpose: the gateway's own readers are held against this one.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_ANTHROPIC_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "compaction": "stop",
}


@dataclass
class Counts:
    """One run's tokens, none counted twice: `fresh` is input neither read from a cache nor written to one."""

    fresh: int | None = None
    cached: int | None = None
    written_5m: int | None = None
    written_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    searches: int = 0

    @property
    def written(self) -> int | None:
        return None if self.written_5m is None else self.written_5m + (self.written_1h or 0)

    @property
    def input(self) -> int | None:
        return None if self.fresh is None else self.fresh + (self.cached or 0) + (self.written or 0)


@dataclass
class Reading:
    """What a client must get, and what must be written down. `runs` are billed one by one."""

    text: str = ""
    reasoning: str = ""
    tools: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    runs: list[Counts] = field(default_factory=list)
    error: Json | None = None

    def total(self, name: str) -> int | None:
        """Sum one kind of token over all runs; None where no run knows it."""
        known = [value for run in self.runs if (value := getattr(run, name)) is not None]
        return sum(known) if known else None


def arguments(text: str) -> Any:
    """Read a tool call's arguments; no text at all means no arguments."""
    return json.loads(text or "{}")


def read(kind: str, body: bytes, *, is_stream: bool) -> Reading:
    """Read a recording; `kind` is anthropic, ollama (native) or openai, whose shape DeepSeek shares."""
    if kind == "anthropic":
        return _anthropic(_events(body) if is_stream else _as_anthropic_events(json.loads(body)))
    if kind == "ollama":
        return _ollama(json.loads(line) for line in body.splitlines() if line.strip())
    return _openai(_events(body) if is_stream else [json.loads(body)])


def _events(body: bytes) -> Iterator[Json]:
    for block in body.decode().lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        lines = [line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:")]
        if lines and lines != ["[DONE]"]:
            yield json.loads("\n".join(lines))


def _as_anthropic_events(message: Json) -> Iterator[Json]:
    yield {"type": "message_start", "message": {**message, "content": []}}
    for index, block in enumerate(message["content"]):
        yield {"type": "content_block_start", "index": index, "content_block": block}
    yield {"type": "message_delta", "delta": {"stop_reason": message["stop_reason"]}, "usage": {}}


def _anthropic(events: Iterable[Json]) -> Reading:
    reading, usage, calls = Reading(), {}, {}
    for event in events:
        kind = event["type"]
        if kind == "error":
            reading.error = event["error"]
        elif kind == "message_start":
            usage.update(_known(event["message"]["usage"]))
        elif kind == "content_block_start":
            block = event["content_block"]
            reading.text += block.get("text", "") if block["type"] == "text" else ""
            reading.reasoning += block.get("thinking", "") if block["type"] == "thinking" else ""
            if block["type"] == "tool_use":
                calls[event["index"]] = [block["name"], json.dumps(block["input"]) if block["input"] else ""]
        elif kind == "content_block_delta":
            delta = event["delta"]
            reading.text += delta.get("text", "")
            reading.reasoning += delta.get("thinking", "")
            if delta["type"] == "input_json_delta" and event["index"] in calls:
                calls[event["index"]][1] += delta["partial_json"]
        elif kind == "message_delta":
            reading.finish = _ANTHROPIC_FINISH[event["delta"]["stop_reason"]]
            usage.update(_known(event.get("usage") or {}))
    reading.tools = [(name, arguments(text)) for _, (name, text) in sorted(calls.items())]
    runs = usage.get("iterations") or [usage]
    reading.runs = [_anthropic_counts(run) for run in runs] if usage else []
    if reading.runs:
        reading.runs[0].searches = (usage.get("server_tool_use") or {}).get("web_search_requests") or 0
    return reading


def _known(usage: Json) -> Json:
    return {name: value for name, value in usage.items() if value is not None}


def _anthropic_counts(usage: Json) -> Counts:
    written = usage.get("cache_creation_input_tokens")
    split = usage.get("cache_creation") or {}
    five, hour = split.get("ephemeral_5m_input_tokens", 0), split.get("ephemeral_1h_input_tokens", 0)
    if written is not None and five + hour != written:
        five, hour = written, 0
    return Counts(
        fresh=usage["input_tokens"],
        cached=usage.get("cache_read_input_tokens"),
        written_5m=five if written is not None else None,
        written_1h=hour if written is not None else None,
        output=usage["output_tokens"],
        reasoning=(usage.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


def _openai(chunks: Iterable[Json]) -> Reading:
    reading = Reading()
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        if "error" in chunk:
            reading.error = chunk["error"]
            continue
        for choice in chunk["choices"]:
            piece = choice.get("delta") or choice.get("message") or {}
            reading.text += piece.get("content") or ""
            reading.reasoning += piece.get("reasoning_content") or piece.get("reasoning") or ""
            for place, call in enumerate(piece.get("tool_calls") or []):
                known = calls.setdefault(call.get("index", place), ["", ""])
                known[0] += call["function"].get("name") or ""
                known[1] += call["function"].get("arguments") or ""
            reading.finish = choice.get("finish_reason") or reading.finish
        if usage := chunk.get("usage"):
            reading.runs = [_openai_counts(usage)]
    reading.tools = [(name, arguments(text)) for _, (name, text) in sorted(calls.items())]
    return reading


def _openai_counts(usage: Json) -> Counts:
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")
    return Counts(
        fresh=usage["prompt_tokens"] - (cached or 0),
        cached=cached,
        output=usage["completion_tokens"],
        reasoning=(usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    )


def _ollama(lines: Iterable[Json]) -> Reading:
    reading = Reading()
    for line in lines:
        if "error" in line:
            reading.error = {"message": line["error"]}
            continue
        message = line["message"]
        reading.text += message.get("content") or ""
        reading.reasoning += message.get("thinking") or ""
        reading.tools += [
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or []
        ]
        if line["done"]:
            reading.finish = "tool_calls" if reading.tools else line["done_reason"]
            reading.runs = [Counts(fresh=line.get("prompt_eval_count"), output=line.get("eval_count"))]
    return reading
