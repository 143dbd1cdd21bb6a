"""What a model thought before it called a tool, kept for the answer that clients send back without it.

DeepSeek refuses the next turn where the reasoning of a turn with tool calls is missing
(https://api-docs.deepseek.com/guides/thinking_mode), Anthropic wants its signed thinking blocks back
(https://platform.claude.com/docs/en/build-with-claude/extended-thinking), and most clients keep neither. It
is remembered here by the ids of the tool calls: in memory alone, for an hour, within bounds.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from chatvault.core.chat import ChatRequest, Message, ThinkingBlock, ToolCall

_TTL_MS = 3_600_000
_LIMIT_BYTES = 32 * 1024 * 1024
# Ids such as `call_0` come again with every answer, and from every client: they say nothing.
_SHORTEST_ID = 12


@dataclass(frozen=True, slots=True)
class Thoughts:
    """The reasoning of one turn, as plain text and as a provider's own blocks."""

    reasoning: str | None = None
    blocks: tuple[ThinkingBlock, ...] = ()

    @property
    def size(self) -> int:
        """About how many bytes this takes."""
        texts = [self.reasoning or ""]
        for block in self.blocks:
            texts += (block.text or "", block.signature or "", block.redacted or "")
        return 200 + 2 * sum(map(len, texts))


class ReasoningMemory:
    """Remember thoughts by tool call. `now_ms` is the clock."""

    def __init__(
        self, now_ms: Callable[[], int], *, limit_bytes: int = _LIMIT_BYTES, ttl_ms: int = _TTL_MS
    ) -> None:
        self._now_ms = now_ms
        self._limit = limit_bytes
        self._ttl_ms = ttl_ms
        self._size = 0
        self._kept: OrderedDict[tuple[str, str], tuple[int, Thoughts]] = OrderedDict()

    def remember(self, calls: Sequence[ToolCall], thoughts: Thoughts) -> None:
        """Keep what was thought before `calls` were made."""
        if not (thoughts.reasoning or thoughts.blocks) or thoughts.size > self._limit:
            return
        expires_ms = self._now_ms() + self._ttl_ms
        for call in calls:
            if len(call.id) >= _SHORTEST_ID:
                self._drop((call.id, call.name))
                self._kept[call.id, call.name] = (expires_ms, thoughts)
                self._size += thoughts.size
        self._shrink()

    def recall(self, call: ToolCall) -> Thoughts | None:
        """Return what was thought before a call; None where that isn't known (any more)."""
        found = self._kept.get((call.id, call.name))
        if found is None or found[0] <= self._now_ms():
            return None
        return found[1]

    def restore(self, message: Message) -> Message:
        """Return the message with the reasoning and thinking blocks that its sender left out."""
        if not message.tool_calls or (message.reasoning and message.thinking_blocks):
            return message
        thoughts = next((found for call in message.tool_calls if (found := self.recall(call))), None)
        if thoughts is None:
            return message
        return replace(
            message,
            reasoning=message.reasoning or thoughts.reasoning,
            thinking_blocks=message.thinking_blocks or thoughts.blocks,
        )

    def restore_all(self, request: ChatRequest) -> ChatRequest:
        """Return the request with all its messages restored."""
        if not any(message.tool_calls for message in request.messages):
            return request
        return replace(request, messages=tuple([self.restore(message) for message in request.messages]))

    def _shrink(self) -> None:
        now_ms = self._now_ms()
        while self._kept:
            key, (expires_ms, _) = next(iter(self._kept.items()))
            if self._size <= self._limit and expires_ms > now_ms:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= found[1].size
