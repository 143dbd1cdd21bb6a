"""One chunk of an OpenAI-shaped stream, as far as it is looked into."""

import re

import msgspec

from chatvault.providers.wire import NOTHING, lenient

_ERROR_EVENT = re.compile(rb"^event: ?error", re.MULTILINE)


class Delta(msgspec.Struct):
    """What is added to the answer."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING

    @property
    def text(self) -> str:
        return (self.content or "") + (self.reasoning_content or self.reasoning or "")


class Choice(msgspec.Struct):
    """One of the answers: there is no more than one."""

    index: object = None
    delta: Delta | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = NOTHING


class Chunk(msgspec.Struct):
    """The payload of an event."""

    id: object = None
    created: object = None
    model: object = None
    kind: object = msgspec.field(default=None, name="object")
    choices: list[Choice] | None = None
    usage: msgspec.Raw = NOTHING
    x_groq: msgspec.Raw = NOTHING
    error: object = None
    message: object = None
    detail: object = None

    @property
    def has_usage(self) -> bool:
        """Whether usage stands where OpenAI puts it."""
        return bytes(self.usage) != b"null"

    @property
    def told_usage(self) -> msgspec.Raw:
        """The usage, wherever it stands: Groq has it under `x_groq`, Moonshot in the choice."""
        if self.has_usage:
            return self.usage
        if bytes(self.x_groq) != b"null":
            groq = lenient(self.x_groq, _Groq)
            return NOTHING if groq is None else groq.usage
        return self.choices[0].usage if self.choices else NOTHING

    def is_error(self, event: bytes) -> bool:
        """Whether it says that the answer failed; `event` is all of what it came in.

        An error stands under `error` at OpenAI, but older vLLMs and what FastAPI says itself have it bare.
        """
        if self.error is not None or self.kind == "error":
            return True
        if event[:5] != b"data:" and _ERROR_EVENT.search(event):
            return True
        is_bare = self.choices is None and not self.has_usage
        return is_bare and (isinstance(self.message, str) or self.detail is not None)


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = NOTHING


decode_chunk = msgspec.json.Decoder(Chunk).decode
