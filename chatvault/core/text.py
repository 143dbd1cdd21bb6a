"""Text from outside: made fit for a terminal, a log line or a spreadsheet, and measured."""

import re

# C0 and C1 controls (ANSI sequences begin with them), DEL, line and paragraph separators, the bidirectional
# controls that reorder what a reader sees, zero-width marks, the byte order mark, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """Write every character that could move a cursor, hide or reorder text as an escape such as `\\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return _UNPRINTABLE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char in _SHORT:
        return _SHORT[char]
    number = ord(char)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def csv_text(text: str) -> str:
    """Return `text` for a CSV cell: printable, and no spreadsheet takes it for a formula."""
    return f"'{printable(text)}" if text.startswith(_FORMULA_STARTS) else printable(text)


def utf8_length(text: str) -> int:
    """Return how many bytes `text` takes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def shortened(text: str, *, width: int) -> str:
    """Cut `text` to `width` characters, the last of them an ellipsis where something was cut."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Write how many there are: `1 provider`, `2 providers`, `1,000 aliases`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
