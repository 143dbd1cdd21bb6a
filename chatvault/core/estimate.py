"""How many input tokens a request can have at most, and how many it probably has, without a tokenizer."""

from chatvault.core.chat import ChatRequest, ImagePart

# Every tokenizer in use covers at least one byte of UTF-8 with each token, so bytes bound tokens from above.
# Roles, separators and the like take a few tokens a message more; a tool's wrapper some dozens.
_TOKENS_A_MESSAGE = 16
_TOKENS_A_TOOL = 64
_TOKENS_OF_TOOL_USE = 1024
# Anthropic bills (width × height) / 750 tokens after scaling to 1,568 px; its newest models up to 4,784.
_TOKENS_AN_IMAGE = 5000
_BYTES_PER_TOKEN = 4


def input_bound(request: ChatRequest) -> int:
    """Return a number of input tokens that no tokenizer's count of this request exceeds."""
    text_bytes, images = _sizes(request)
    overhead = _TOKENS_A_MESSAGE * (len(request.messages) + 1)
    if request.tools or request.response_format is not None:
        overhead += _TOKENS_OF_TOOL_USE + _TOKENS_A_TOOL * len(request.tools)
    return text_bytes + images * _TOKENS_AN_IMAGE + overhead


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
            size += _utf8_length(content)
        elif content is not None:
            for part in content:
                if isinstance(part, ImagePart):
                    images += 1
                else:
                    size += _utf8_length(part.text)
        if message.reasoning is not None:
            size += _utf8_length(message.reasoning)
        for block in message.thinking_blocks:
            size += len(block.text or "") * 4 + len(block.signature or "") + len(block.redacted or "")
        for call in message.tool_calls:
            size += _utf8_length(call.name) + _utf8_length(call.arguments)
        if message.name is not None:
            size += _utf8_length(message.name)
    for tool in request.tools:
        size += _utf8_length(tool.name) + _utf8_length(tool.description or "") + _json_size(tool.parameters)
    if request.response_format is not None:
        size += _json_size(request.response_format.schema)
    return size, images


def _utf8_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _json_size(value: object) -> int:
    """Return an upper bound of the bytes that a JSON value takes when written out."""
    size = 0
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            # A control character takes six bytes when escaped.
            size += 2 + (len(item) if item.isascii() and item.isprintable() else 6 * len(item))
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
