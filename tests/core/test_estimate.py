"""Tests of the bounds on input tokens."""

from hypothesis import given
from hypothesis import strategies as st

from chatvault.core.chat import ChatRequest, ImagePart, Message, TextPart, Tool, ToolCall
from chatvault.core.estimate import input_bound, input_estimate


def ask(*messages: Message, tools: tuple[Tool, ...] = ()) -> ChatRequest:
    return ChatRequest("m", messages, tools=tools)


@given(st.text())
def test_the_bound_is_never_below_the_bytes_of_the_text(text: str) -> None:
    assert input_bound(ask(Message("user", text))) >= len(text.encode("utf-8", "surrogatepass"))


@given(st.text())
def test_the_estimate_never_exceeds_the_bound(text: str) -> None:
    request = ask(Message("user", (TextPart(text), ImagePart("data:image/png;base64,AAAA"))))
    assert input_estimate(request) <= input_bound(request)


def test_an_image_counts_by_what_it_is_billed_not_by_its_bytes() -> None:
    request = ask(Message("user", (ImagePart("data:image/png;base64," + "A" * 5_000_000),)))
    assert 5_000 <= input_bound(request) < 10_000


def test_everything_that_is_sent_counts() -> None:
    plain = input_bound(ask(Message("assistant", "")))
    calls = (ToolCall("1", "f", "x" * 500),)
    assert input_bound(ask(Message("assistant", "", tool_calls=calls))) >= plain + 500
    assert input_bound(ask(Message("assistant", "", reasoning="x" * 500))) >= plain + 500
    tool = Tool(
        "f", "d" * 300, parameters={"type": "object", "properties": {"p": {"description": "x" * 200}}}
    )
    assert input_bound(ask(Message("assistant", ""), tools=(tool,))) >= plain + 500
