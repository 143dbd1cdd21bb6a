"""Credentials that have slipped into a text, hidden before it is logged or shown."""

import re

_HIDDEN = "…"
# A scheme word keeps, its credential goes; then the key shapes themselves, long ones first. No shape is tried
# in the middle of a word: `task-oriented-…` is not a key.
_BEARER = re.compile(r"(?i)\b((?:bearer|basic)(?:\s+|%20))([A-Za-z0-9._~+/=-]{6,})")
_HEADER = re.compile(
    r"(?i)\b((?:x-api-key|api[-_]?key|authorization)(['\"]?\s*[:=]\s*['\"]?))(?!bearer\b|basic\b)([^\s'\",;}…]{6,})"
)
# What a sentence says of a scheme, in place of a credential.
_SCHEME_WORD = re.compile(r"(?i)(?:tokens?|auth[a-z]*|credentials?|schemes?|headers?|settings?)[.:]?")
# What a sentence says after these words is no credential: a plain word, or the name of a variable.
_WORD = re.compile(r"[A-Z]?[a-z]{1,15}(?:[.-][a-z]{1,15})*[.:]?|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+[.:]?|[.~]?/.*")
_KEYS = re.compile(r"(?<![A-Za-z0-9])(sk-ant-|sk-|cvk_)[A-Za-z0-9_-]{6,}")
# One of these stands in whatever the patterns match: looking for them spares most texts 20 µs of patterns.
_SIGNS = ("sk-", "cvk_", "bearer", "basic", "key", "authorization")


def redact(text: str) -> str:
    """Replace what looks like a provider key, an access token or an authorization header's value by `…`."""
    lowered = text.lower()
    if not any([sign in lowered for sign in _SIGNS]):
        return text
    text = _BEARER.sub(_credential, text)
    text = _HEADER.sub(_value, text)
    return _KEYS.sub(rf"\1{_HIDDEN}", text)


def _credential(match: re.Match[str]) -> str:
    return match[0] if _SCHEME_WORD.fullmatch(match[2]) else match[1] + _HIDDEN


def _value(match: re.Match[str]) -> str:
    # Between quotes or after `=` stands a value; after a bare colon there may as well be a sentence.
    is_sentence = "=" not in match[2] and not match[2].endswith(("'", '"'))
    is_plain = _WORD.fullmatch(match[3]) or (is_sentence and not _looks_random(match[3]))
    return match[0] if is_plain else match[1] + _HIDDEN


def _looks_random(text: str) -> bool:
    has_digit = any(char.isdigit() for char in text)
    has_both_cases = text.lower() != text != text.upper()
    return len(text) >= 12 and (has_digit or has_both_cases or text.isupper())
