"""Answers as servers really give them, other than their documentation: heard right, and booked right."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import anthropic_events as said
from tests.support.clients import ask, chat
from tests.support.daemon import Daemon
from tests.support.openai_events import DONE, HI, ROLE, STOP, THERE, USAGE, USAGE_CHUNK, event
from tests.support.openai_shape import provider
from tests.support.scripted import Answer, Upstream, cut_up, json_answer

OTHER, CLAUDE, OLLAMA = "other/fixed", "anthropic/claude-sonnet-5-5", "ollama/llama3.2:3b"
_KEY = "sk-odd-3f2e1d0c9b"
_chance = random.Random(11)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as scripted:
        model = {"name": "llama3.2:3b", "model": "llama3.2:3b", "size": 2_000_000_000, "digest": "0" * 64}
        scripted.lists["/api/tags"] = json_answer({"models": [model]})
        scripted.lists["/api/version"] = json_answer({"version": "0.40.0"})
        yield scripted


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Daemon]:
    config = {
        "providers": {
            "anthropic": {"kind": "anthropic", "base_url": upstream.url, "api_key": _KEY},
            "ollama": {"kind": "ollama", "base_url": upstream.url},
            "other": provider(upstream.url),
        },
        "prices": {"overrides": [{"model": "fixed", "per_mtok": {"input": 1, "output": 2}}]},
    }
    with Daemon(tmp_path_factory.mktemp("odd") / "home", config, secrets=[_KEY]).start() as started:
        started.add_token()
        yield started


def called(at: int | None, id: str | None, name: str, arguments: object) -> bytes:
    call = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return event({"tool_calls": [call if at is None else {"index": at, **call}]})


def line(content: str = "", *, done: bool = False, **more: Any) -> bytes:
    told = {"model": "m", "message": {"role": "assistant", "content": content}, "done": done, **more}
    return json.dumps(told).encode() + b"\n"


def zero(event: bytes) -> bytes:
    return event.replace(
        b'"prompt_tokens":9,"completion_tokens":3', b'"prompt_tokens":0,"completion_tokens":0'
    )


TOOLS = [("f", '{"a":1}'), ("g", '{"b":2}')]
ENDS = event({}, "tool_calls") + USAGE_CHUNK + DONE
SPLIT = {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}
ZEROS = dict.fromkeys(("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"), 0)
# Name: model, body, what is heard (text, tools, finish), input and output tokens (None: to be estimated), and
# the cost in picodollars, worked out by hand.
GOOD: dict[str, tuple[str, bytes, tuple[str, list[Any], str], tuple[int, int] | None, int]] = {
    "calls under one index": (
        OTHER,
        ROLE + called(0, "c_1", "f", '{"a":1}') + called(0, "c_2", "g", '{"b":2}') + ENDS,
        ("", TOOLS, "tool_calls"),
        (9, 3),
        15_000_000,
    ),
    "calls without an index, after text": (
        OTHER,
        ROLE + HI + THERE + called(None, "", "f", {"a": 1}) + called(None, "", "g", {"b": 2}) + ENDS,
        ("Hi there é\\n", TOOLS, "tool_calls"),
        (9, 3),
        15_000_000,
    ),
    "usage where groq puts it": (
        OTHER,
        ROLE + HI + event({}, "eos", x_groq={"usage": USAGE}),
        ("Hi", [], "stop"),
        (9, 3),
        15_000_000,
    ),
    "zeros for usage": (OTHER, ROLE + HI + STOP + zero(USAGE_CHUNK) + DONE, ("Hi", [], "stop"), None, 0),
    "an input that the end unsays": (
        CLAUDE,
        said.start(cache_read_input_tokens=100, cache_creation_input_tokens=50, cache_creation=SPLIT)
        + said.event("surprise", message="text", delta=5)
        + said.text(0, "Hel", "lo")
        + said.end(**ZEROS),
        ("Hello", [], "stop"),
        (162, 7),
        12 * 2_000_000 + 100 * 100_000 + 20 * 2_500_000 + 30 * 4_000_000 + 7 * 10_000_000,
    ),
    "an end that counts nothing": (
        CLAUDE,
        said.start()
        + said.text(0, "Hello")
        + said.event("message_delta", delta={"stop_reason": "end_turn"})
        + said.event("message_stop"),
        ("Hello", [], "stop"),
        None,
        0,
    ),
    "arguments as text": (
        OLLAMA,
        line(message={"tool_calls": [{"function": {"name": n, "arguments": a}} for n, a in TOOLS]})
        + line(done=True, prompt_eval_count=9, eval_count=3),
        ("", TOOLS, "tool_calls"),
        (9, 3),
        0,
    ),
}


def _send(daemon: Daemon, upstream: Upstream, model: str, body: bytes, *, with_usage: bool) -> Any:
    steps = cut_up(body, _chance, pieces=_chance.randint(1, 40))
    kind = "application/x-ndjson" if model == OLLAMA else "text/event-stream"
    upstream.script = lambda seen: Answer(steps, 200, {"content-type": kind})
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    return ask(daemon.url, daemon.secrets[-1], chat(model, stream=True, max_tokens=4096, **options))


@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("with_usage", [True, False])
def test_an_odd_stream_is_heard_and_booked(
    daemon: Daemon, upstream: Upstream, name: str, with_usage: bool
) -> None:
    model, body, (text, tools, finish), counts, cost = GOOD[name]
    heard = _send(daemon, upstream, model, body, with_usage=with_usage)
    assert (heard.status, heard.text, heard.tools, heard.finish) == (200, text, tools, finish)
    assert heard.is_done and heard.error is None
    row = daemon.row(heard.id)
    assert row["status"] == "ok"
    if counts is None:
        assert row["usage_basis"] == "estimated"
        assert row["input_tokens"] > 0 and row["output_tokens"] > 0
        assert row["cost_basis"] != "exact" and row["cost_picousd"] > 0
    else:
        assert (row["usage_basis"], row["cost_picousd"]) == ("provider", cost)
        assert (row["input_tokens"], row["output_tokens"]) == counts
        assert (heard.usage is not None) == with_usage


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"object":"error","message":"boom","type":"BadRequestError","code":400}\n\n' + DONE,
        b'event:error\ndata: {"message":"boom"}\n\n' + DONE,
        b'error: {"code":500,"message":"boom"}\n\n' + DONE,
        b'data: {"detail":"Internal Server Error"}\n\n' + DONE,
    ],
)
def test_an_error_of_another_shape_is_never_taken_for_an_end(
    daemon: Daemon, upstream: Upstream, error: bytes
) -> None:
    heard = _send(daemon, upstream, OTHER, ROLE + HI + error, with_usage=False)
    assert heard.text == "Hi" and not heard.is_done and heard.error
    assert daemon.row(heard.id)["status"] == "error"
