"""A chat request and its parts, after the allow-list: what every provider is handed.

The shape is OpenAI's Chat Completions, in values that can't hold anything else. Field names are the wire's
own, except where the wire uses two names for one thing (`max_completion_tokens` and `max_tokens` are
`max_tokens` here).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatvault.core.json_types import Json as Json
from chatvault.core.json_types import JsonObject as JsonObject
from chatvault.core.value import quickly_made

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]
CacheTtl: TypeAlias = Literal["5m", "1h"]


@quickly_made
@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text. `cache` marks a prompt-cache breakpoint after it, for providers that have them."""

    text: str
    cache: CacheTtl | None = None


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image: a `data:` URL, or a remote one that only a provider out there may fetch (`is_remote`)."""

    url: str
    detail: str | None = None
    cache: CacheTtl | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the image lies elsewhere and would have to be fetched."""
        return not self.url.startswith("data:")


Part: TypeAlias = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's call of a function; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ThinkingBlock:
    """A provider's own record of its thinking, to be handed back unchanged.

    Anthropic's: text with a signature, or redacted data.
    """

    text: str | None = None
    signature: str | None = None
    redacted: str | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class Message:
    """One message. `reasoning` is `reasoning_content`; `tool_call_id` stands in the answers of tools only."""

    role: Role
    content: str | tuple[Part, ...] | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None
    thinking_blocks: tuple[ThinkingBlock, ...] = ()
    cache: CacheTtl | None = None

    @property
    def text(self) -> str:
        """All text of the message, parts joined."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        """The message's images, in order."""
        if self.content is None or isinstance(self.content, str):
            return ()
        return tuple(part for part in self.content if isinstance(part, ImagePart))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is its JSON schema."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    cache: CacheTtl | None = None


@dataclass(frozen=True, slots=True)
class NamedTool:
    """A `tool_choice` that names the one function to call."""

    name: str


ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedTool


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What the answer's text must be; `schema`, `name` and `strict` belong to `json_schema`."""

    type: Literal["text", "json_object", "json_schema"]
    schema: JsonObject | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether and how long to think, where a client says so in a provider's own words (`thinking`).

    `type` is `enabled`, `disabled` or `adaptive`; `budget_tokens` belongs to `enabled`.
    """

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None


@quickly_made
@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat request. None means that the client said nothing, which is not the same as a default."""

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    thinking: Thinking | None = None

    @property
    def has_images(self) -> bool:
        """Whether any message holds an image."""
        return any(message.images for message in self.messages)
