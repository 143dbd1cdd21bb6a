"""Credentials that have slipped into a text, hidden before it is logged or shown."""

import re

_HIDDEN = "…"
# A scheme word keeps, its credential goes; then the key shapes themselves, long ones first. No shape is tried
# in the middle of a word: `task-oriented-…` is not a key.
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+|%20)[A-Za-z0-9._~+/=-]{6,}")
_HEADER = re.compile(
    r"(?i)\b(x-api-key|api[-_]?key|authorization)(['\"]?\s*[:=]\s*['\"]?)(?!bearer\b|basic\b)[^\s'\",;}…]{6,}"
)
_KEYS = re.compile(r"(?<![A-Za-z0-9])(sk-ant-|sk-|cvk_)[A-Za-z0-9_-]{6,}")
# One of these stands in whatever the patterns match: looking for them spares most texts 20 µs of patterns.
_SIGNS = ("sk-", "cvk_", "bearer", "basic", "key", "authorization")


def redact(text: str) -> str:
    """Replace what looks like a provider key, an access token or an authorization header's value by `…`."""
    lowered = text.lower()
    if not any([sign in lowered for sign in _SIGNS]):
        return text
    text = _BEARER.sub(rf"\1\2{_HIDDEN}", text)
    text = _HEADER.sub(rf"\1\2{_HIDDEN}", text)
    return _KEYS.sub(rf"\1{_HIDDEN}", text)
