"""How many input tokens a request can have at most, and how many it probably has, without a tokenizer."""

import re
import unicodedata

from chatvault.core.chat import ChatRequest, ImagePart
from chatvault.core.text import utf8_length

# Every tokenizer in use covers at least one byte of UTF-8 with each token, so bytes bound tokens from above.
# Roles, separators and the like take a few tokens a message more; a tool's wrapper some dozens.
_TOKENS_A_MESSAGE = 16
_TOKENS_A_TOOL = 64
_TOKENS_OF_TOOL_USE = 1024
# OpenAI bills gpt-4o-mini the most: 2,833 tokens, and 5,667 for each of at most eight tiles.
_TOKENS_AN_IMAGE = 50_000
# Anthropic bills (width × height) / 750 tokens after scaling to 1,568 px; its newest models up to 4,784.
_TOKENS_AN_IMAGE_BY_KIND = {"anthropic": 5000}
_BYTES_PER_TOKEN = 4
# Some tokenizers normalize what they read (Qwen's by NFC, others by NFKC). In these ranges lies all that
# takes more bytes afterwards, up to eleven times as many: `\ufdfa` has three bytes, and is then 33.
_GROWING = re.compile(
    "["
    r"\u00a8-\u00be\u013f-\u0149\u01c4-\u01c6\u02d8-\u02dd\u0344-\u0385\u0587\u0675-\u0678"
    r"\u0958-\u095f\u09dc-\u09df\u0a33-\u0a5e\u0b5c-\u0b5d\u0e33\u0eb3-\u0edd\u0f43-\u0fb9"
    r"\u1fc1-\u1fee\u2033-\u2057\u2150-\u2189\u222c-\u2230\u247d-\u2487\u2a0c\u2adc\u309b-\u309f"
    r"\u30ff\u3200-\u327d\u32c0-\u33fe\ufa6c\ufacf-\ufb4f\ufbdd-\ufdfc\ufe71-\ufe7f\ufef5-\ufefc"
    r"\U0001d15e-\U0001d164\U0001d1bb-\U0001d1c0\U0001f12a\U0001f200-\U0001f248"
    "]"
)


def input_bound(request: ChatRequest, kind: str = "") -> int:
    """Return a number of input tokens that no tokenizer's count of this request exceeds.

    `kind` is that of the provider: images are billed as each pleases.
    """
    text_bytes, images = _sizes(request)
    overhead = _TOKENS_A_MESSAGE * (len(request.messages) + 1)
    if request.tools or request.response_format is not None:
        overhead += _TOKENS_OF_TOOL_USE + _TOKENS_A_TOOL * len(request.tools)
    return text_bytes + images * _TOKENS_AN_IMAGE_BY_KIND.get(kind, _TOKENS_AN_IMAGE) + overhead


def input_estimate(request: ChatRequest) -> int:
    """Return about how many input tokens the request has: what is written down where nobody counted them."""
    text_bytes, images = _sizes(request)
    return text_bytes // _BYTES_PER_TOKEN + images * 1000 + 4 * len(request.messages)


def _sizes(request: ChatRequest) -> tuple[int, int]:
    """Return the request's bytes of text and its number of images."""
    size = images = 0
    for message in request.messages:
        content = message.content
        if isinstance(content, str):
            size += _token_bound(content)
        elif content is not None:
            for part in content:
                if isinstance(part, ImagePart):
                    images += 1
                else:
                    size += _token_bound(part.text)
        if message.reasoning is not None:
            size += _token_bound(message.reasoning)
        for block in message.thinking_blocks:
            size += _token_bound(block.text or "")
            size += _token_bound(block.signature or "") + _token_bound(block.redacted or "")
        for call in message.tool_calls:
            size += _token_bound(call.id) + _token_bound(call.name) + _token_bound(call.arguments)
        if message.name is not None:
            size += _token_bound(message.name)
        if message.tool_call_id is not None:
            size += _token_bound(message.tool_call_id)
    for tool in request.tools:
        size += _token_bound(tool.name) + _token_bound(tool.description or "") + _json_size(tool.parameters)
    if request.response_format is not None:
        wanted = request.response_format
        size += _json_size(wanted.schema) + _json_size(wanted.name) + _json_size(wanted.description)
    return size, images


def _token_bound(text: str) -> int:
    """Return the bytes of a text, as it is or as a tokenizer normalizes it, whichever are more."""
    length = utf8_length(text)
    if length == len(text) or _GROWING.search(text) is None:
        return length
    return max(length, utf8_length(unicodedata.normalize("NFKC", text)))


def _json_size(value: object) -> int:
    """Return an upper bound of the bytes that a JSON value takes when written out."""
    size = 0
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if item.isascii() and item.isprintable():
                size += 2 + len(item) + item.count('"') + item.count("\\")
            else:
                # What is escaped takes six bytes, and twice six beyond the first 65,536 characters.
                size += 2 + 3 * len(item.encode("utf-16-le", "surrogatepass"))
        elif isinstance(item, dict):
            size += 2 + 4 * len(item)
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            size += 2 + 2 * len(item)
            stack.extend(item)
        else:
            size += 24
    return size
