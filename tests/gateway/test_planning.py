import pytest

from chatvault.core.chat import CacheTtl, ChatRequest, ImagePart, Message, TextPart, Tool
from chatvault.gateway.planning import _has_remote_image, _longest_cache

PLAIN = Message("user", "hello")


@pytest.mark.parametrize(
    ("marks", "longest"),
    [((None,), None), (("5m", None), "5m"), (("1h", "5m"), "1h"), (("5m", "1h"), "1h"), ((None, "1h"), "1h")],
)
@pytest.mark.parametrize("place", ["tools", "messages", "parts"])
def test_the_longest_cache_counts_wherever_it_is_asked_for(
    marks: tuple[CacheTtl | None, ...], longest: CacheTtl | None, place: str
) -> None:
    tools = tuple(Tool("f", cache=mark) for mark in marks) if place == "tools" else ()
    marked = [Message("user", "x", cache=mark) for mark in marks] if place == "messages" else []
    if place == "parts":
        marked = [Message("user", tuple(TextPart("x", mark) for mark in marks))]
    request = ChatRequest("m", (PLAIN, *marked, Message("assistant")), tools=tools)
    assert _longest_cache(request) == longest


@pytest.mark.parametrize(
    ("url", "is_remote"), [("data:image/png;base64,AA==", False), ("https://a.example/x.png", True)]
)
def test_a_remote_image_is_seen_among_parts(url: str, is_remote: bool) -> None:
    request = ChatRequest("m", (PLAIN, Message("user", (TextPart("look"), ImagePart(url))), PLAIN))
    assert _has_remote_image(request) == is_remote
