"""A chat request in the words that litellm turns into an Anthropic Messages request."""

from typing import Any

from chatvault.core.chat import CacheTtl, ChatRequest, ImagePart, Message, ThinkingBlock, Tool
from chatvault.errors import RequestError
from chatvault.providers.openai_wire import message_fields, request_fields, tool_fields
from chatvault.providers.reasoning_memory import ReasoningMemory

_UNKNOWN = (
    "min_p",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
_LEAST_THINKING_TOKENS = 1024
_JSON_WANTED = "Answer with one JSON object and nothing else: no code fence, no text around it."


def translate(
    request: ChatRequest, memory: ReasoningMemory, *, max_tokens: int, stream: bool
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the messages and options, still in OpenAI's shape.

    Thinking that a client left out is restored, unless thinking is off now. What says nothing is left out:
    clients send an empty text beside an image, and keep the answer that they stopped before it began. Raises
    RequestError for an image that nobody would fetch, and where nothing is left.
    """
    turns = [message for message in request.messages if not _says_nothing(message)]
    if not turns:
        raise RequestError("Anthropic takes no conversation in which nothing is said.", param="messages")
    thinks = request.reasoning_effort != "none"
    if request.thinking is not None:
        thinks = request.thinking.type != "disabled"
    messages = [_message(memory.restore(turn) if thinks else turn) for turn in turns]
    if all(message["role"] == "system" for message in messages):
        # OpenAI answers instructions alone; Anthropic wants somebody to have spoken.
        messages[-1]["role"] = "user"
    options = request_fields(request)
    for name in _UNKNOWN:
        options.pop(name, None)
    if request.tools:
        options["tools"] = [_tool(tool) for tool in request.tools]
    if request.response_format is not None and request.response_format.type != "json_schema":
        del options["response_format"]
        if request.response_format.type == "json_object":
            messages.insert(0, {"role": "system", "content": _JSON_WANTED})
    _fit_sampling(options)
    options["max_tokens"] = max_tokens
    if stream:
        options["stream"] = True
    return messages, options


def mend(body: dict[str, Any], request: ChatRequest) -> None:
    """Change what Anthropic would refuse in a body that litellm made."""
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return
    last_call = next((m for m in reversed(request.messages) if m.role == "assistant"), None)
    if last_call is not None and last_call.tool_calls and not _has_thinking(body):
        # A turn with tool calls must begin with the thinking that led to them; nobody has it any more.
        del body["thinking"]
    elif request.thinking is None and thinking.get("budget_tokens", 0) >= body["max_tokens"]:
        # The budget is litellm's guess from `reasoning_effort`; the limit is the client's own.
        thinking["budget_tokens"] = body["max_tokens"] - 1
        if thinking["budget_tokens"] < _LEAST_THINKING_TOKENS:
            del body["thinking"]


def _fit_sampling(options: dict[str, Any]) -> None:
    # OpenAI's range goes up to 2, Anthropic's to 1; and its newer models take one of the two, not both.
    if "temperature" in options:
        options["temperature"] = min(options["temperature"], 1.0)
        options.pop("top_p", None)


def _has_thinking(body: dict[str, Any]) -> bool:
    last = next((m for m in reversed(body["messages"]) if m["role"] == "assistant"), None)
    content = last["content"] if last is not None else ()
    return any(
        isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking")
        for block in content
    )


def _says_nothing(message: Message) -> bool:
    if message.role not in ("user", "assistant") or message.tool_calls or message.thinking_blocks:
        return False
    return not message.images and not message.text.strip()


def _message(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = message_fields(message, has_developer_role=False)
    fields.pop("name", None)
    content = message.content
    if content is not None and not isinstance(content, str):
        # It refuses a text of nothing but space, and the library would put words of its own in its place.
        fields["content"] = [
            _part(part) for part in content if isinstance(part, ImagePart) or part.text.strip()
        ]
    if message.thinking_blocks:
        fields["thinking_blocks"] = [_block(block) for block in message.thinking_blocks]
    return _marked(fields, message.cache)


def _part(part: Any) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        if part.is_remote and not part.url.lower().startswith("https://"):
            raise RequestError(
                "Anthropic fetches images by https alone: send the image itself, as a data: URL.",
                code="image_url_not_fetched",
                param="messages",
            )
        return _marked({"type": "image_url", "image_url": {"url": part.url}}, part.cache)
    return _marked({"type": "text", "text": part.text}, part.cache)


def _block(block: ThinkingBlock) -> dict[str, Any]:
    if block.redacted is not None:
        return {"type": "redacted_thinking", "data": block.redacted}
    return {"type": "thinking", "thinking": block.text or "", "signature": block.signature or ""}


def _tool(tool: Tool) -> dict[str, Any]:
    return _marked(tool_fields(tool), tool.cache)


def _marked(fields: dict[str, Any], cache: CacheTtl | None) -> dict[str, Any]:
    if cache is not None:
        fields["cache_control"] = (
            {"type": "ephemeral"} if cache == "5m" else {"type": "ephemeral", "ttl": cache}
        )
    return fields
