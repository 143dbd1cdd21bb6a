"""What an error body says, in any shape: OpenAI's, Anthropic's, FastAPI's, Ollama's, or plain text."""

import re

import msgspec

from chatvault.providers.wire import UNREADABLE

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Said(msgspec.Struct, frozen=True):
    """What an error body says, of whatever shape it was."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None


def read_said(body: bytes) -> Said:
    """Read an error body; of what it does not say, None."""
    try:
        told = msgspec.json.decode(body)
    except UNREADABLE:
        return _plain_text(body)
    return _from_json(told)


def _plain_text(body: bytes) -> Said:
    text = body.decode("utf-8", "replace").strip()
    # A page is a proxy's or a CDN's, not the provider's word on the request.
    return Said(message=text) if text and not text.startswith("<") else Said()


def _from_json(told: object, depth: int = 0) -> Said:
    if isinstance(told, str):
        # Ollama wraps an upstream's JSON in a string, once more for each hop.
        if told.lstrip().startswith("{") and depth < 4:
            try:
                return _from_json(msgspec.json.decode(told.encode()), depth + 1)
            except UNREADABLE:
                pass
        return Said(message=told)
    if isinstance(told, list) and told and depth < 4:
        return _from_json(told[0], depth + 1)
    if not isinstance(told, dict):
        return Said()
    if isinstance(told.get("error"), str | dict) and depth < 4:
        inner = _from_json(told["error"], depth + 1)
        return inner if inner.message is not None else _fields(told | {"error": None}, inner)
    return _fields(told, Said())


def _fields(told: dict[str, object], known: Said) -> Said:
    message = next((m for k in ("message", "detail", "error_msg") if isinstance(m := told.get(k), str)), None)
    code = told.get("code")
    status = next((n for n in (code, told.get("status")) if isinstance(n, int) and 400 <= n < 600), None)
    return Said(
        message=message,
        type=known.type or _word(told.get("type")),
        code=known.code or _word(code),
        param=known.param or _word(told.get("param")),
        status=known.status or status,
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None
