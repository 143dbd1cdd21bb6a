"""Streams in Anthropic's format, of our own making."""

import json
from typing import Any


def event(kind: str, **fields: Any) -> bytes:
    payload = json.dumps({"type": kind, **fields}, separators=(",", ":"))
    return f"event: {kind}\ndata: {payload}\n\n".encode()


def start(**usage: Any) -> bytes:
    usage = {"input_tokens": 12, "output_tokens": 1, **usage}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x-1", "content": []}
    return event("message_start", message={**message, "stop_reason": None, "usage": usage})


def block(index: int, kind: str, *deltas: dict[str, Any], **fields: Any) -> bytes:
    """One content block whole: its start, its deltas, its stop."""
    begun = event("content_block_start", index=index, content_block={"type": kind, **fields})
    middle = b"".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return begun + middle + event("content_block_stop", index=index)


def text(index: int, *pieces: str) -> bytes:
    return block(index, "text", *({"type": "text_delta", "text": piece} for piece in pieces), text="")


def thinking(index: int, *pieces: str, signature: str = "sig") -> bytes:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    sign = {"type": "signature_delta", "signature": signature}
    return block(index, "thinking", *deltas, sign, thinking="", signature="")


def tool(index: int, id: str, name: str, *pieces: str) -> bytes:
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block(index, "tool_use", *deltas, id=id, name=name, input={})


def end(stop_reason: str = "end_turn", **usage: Any) -> bytes:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    told = {"output_tokens": 7, **usage}
    return event("message_delta", delta=delta, usage=told) + event("message_stop")


PING = event("ping")
