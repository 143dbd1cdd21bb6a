"""Bad input never makes a 500, never hangs, and never carries a field upstream that is not on the list."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.clients import ask
from tests.support.daemon import Daemon
from tests.support.openai_shape import MODEL, fitting
from tests.support.openai_shape import settings as config
from tests.support.scripted import Upstream


def _words(text: str) -> list[str]:
    return text.split()


# What OpenAI's chat completions know, at the levels where a client's own words can reach a provider.
_TOP = frozenset(
    _words(
        "model messages stream stream_options n max_tokens max_completion_tokens temperature top_p top_k"
        " min_p stop seed frequency_penalty presence_penalty logit_bias logprobs top_logprobs tools"
        " tool_choice parallel_tool_calls response_format reasoning_effort thinking"
    )
)
_MESSAGE = frozenset(_words("role content name tool_calls tool_call_id reasoning_content thinking_blocks"))
_PART = frozenset(_words("type text image_url"))
_TOOL = frozenset(_words("type function"))
_FUNCTION = frozenset(_words("name description parameters strict"))
_REDIRECTS = _words(
    "api_base base_url api_key api_version extra_headers extra_body headers custom_llm_provider user_config"
    " fallbacks mock_response litellm_params litellm_metadata"
)

_scalar = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=20)
)
_anything = st.recursive(
    _scalar,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
_content = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.one_of(
            st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=20)}),
            st.fixed_dictionaries(
                {
                    "type": st.just("image_url"),
                    "image_url": st.fixed_dictionaries({"url": st.just("data:image/png;base64,AAAA")}),
                }
            ),
            _anything,
        ),
        max_size=3,
    ),
)
_call = st.fixed_dictionaries(
    {
        "id": st.text(max_size=8),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.text(max_size=8), "arguments": st.text(max_size=12)}),
    }
)
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool", "nobody"])},
    optional={
        "content": _content | _anything,
        "name": st.text(max_size=8),
        "tool_calls": st.lists(_call | _anything, max_size=2) | _anything,
        "tool_call_id": st.text(max_size=8),
        "reasoning_content": st.text(max_size=8),
        "cache_control": _anything,
    },
)
_tool = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.text(max_size=8)},
            optional={"description": st.text(max_size=9), "parameters": _anything, "strict": st.booleans()},
        ),
    }
)
_known = st.fixed_dictionaries(
    {"model": st.just(MODEL), "messages": st.lists(_message, max_size=3)},
    optional={
        "stream": st.booleans(),
        "stream_options": st.fixed_dictionaries({"include_usage": st.booleans()}) | _anything,
        "tools": st.lists(_tool | _anything, max_size=3),
        "tool_choice": st.sampled_from(["none", "auto", "required"]) | _anything,
        "max_tokens": st.integers(1, 100) | _anything,
        "temperature": st.floats(0, 2) | _anything,
        "stop": st.text(max_size=4) | st.lists(st.text(max_size=4), max_size=5),
        "response_format": st.sampled_from([{"type": "json_object"}, {"type": "text"}]) | _anything,
        "logit_bias": _anything,
        "metadata": _anything,
    },
)
_unknown = st.dictionaries(
    st.text(max_size=12) | st.sampled_from(sorted(_TOP)) | st.sampled_from(_REDIRECTS), _anything, max_size=3
)
_bodies = st.builds(lambda known, unknown: known | unknown, _known, _unknown)


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    with Upstream(fitting) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, provider: Upstream) -> Iterator[Daemon]:
    home: Path = tmp_path_factory.mktemp("fuzz") / "home"
    with Daemon(home, config(provider.url)).start() as started:
        started.add_token()
        yield started


def _examples(is_full: bool) -> settings:
    return settings(
        max_examples=5000 if is_full else 300,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def _check_upstream(call: Any) -> None:
    assert call.keys() <= _TOP, call.keys() - _TOP
    for message in call["messages"]:
        assert message.keys() <= _MESSAGE, message.keys() - _MESSAGE
        if isinstance(message.get("content"), list):
            assert all(part.keys() <= _PART for part in message["content"])
    for tool in call.get("tools") or []:
        assert tool.keys() <= _TOOL and tool["function"].keys() <= _FUNCTION


@pytest.mark.full
@pytest.mark.seconds(900)
def test_no_body_does_harm(daemon: Daemon, provider: Upstream, is_full: bool) -> None:
    @_examples(is_full)
    @given(_bodies)
    def run(body: dict[str, Any]) -> None:
        provider.forget()
        heard = ask(daemon.url, daemon.secrets[-1], body, timeout=10)
        assert heard.status in (200, 400, 403, 404), (heard.status, heard.body)
        if heard.status == 200:
            _check_upstream(provider.call.json)
            assert heard.text == "one two three"
        else:
            assert set(heard.json["error"]) == {"message", "type", "param", "code"}
            assert provider.calls == []

    run()


@pytest.mark.full
@pytest.mark.seconds(300)
def test_no_bytes_do_harm(daemon: Daemon, provider: Upstream, is_full: bool) -> None:
    valid = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "é" * 8}]}).encode()

    @_examples(is_full)
    @given(st.binary(max_size=200) | st.builds(_flip, st.just(valid), st.integers(0), st.integers(0, 255)))
    def run(body: bytes) -> None:
        provider.forget()
        heard = ask(daemon.url, daemon.secrets[-1], body, timeout=10)
        assert heard.status in (200, 400, 404), (heard.status, heard.body)
        for call in provider.calls:
            _check_upstream(call.json)

    run()


def _flip(body: bytes, place: int, value: int) -> bytes:
    place %= len(body)
    return body[:place] + bytes([value]) + body[place + 1 :]


@pytest.mark.parametrize("name", _REDIRECTS)
@pytest.mark.parametrize("where", ["top", "message", "part", "tool", "stream_options", "metadata"])
def test_a_name_that_could_redirect_is_refused_anywhere(
    daemon: Daemon, provider: Upstream, name: str, where: str
) -> None:
    evil = {name: "http://evil.example"}
    part = {"type": "text", "text": "hi"} | (evil if where == "part" else {})
    message = {"role": "user", "content": [part]} | (evil if where == "message" else {})
    body: dict[str, Any] = {"model": MODEL, "messages": [message]}
    if where == "top":
        body |= evil
    elif where == "tool":
        body["tools"] = [{"type": "function", "function": {"name": "f", **evil}}]
    elif where in ("stream_options", "metadata"):
        body |= {where: {"deep": [evil]}, "stream": True}
    provider.forget()
    heard = ask(daemon.url, daemon.secrets[-1], body)
    assert heard.status == 400
    assert name in heard.json["error"]["message"]
    assert provider.calls == []


def test_such_names_are_free_in_schemas_arguments_and_text(daemon: Daemon, provider: Upstream) -> None:
    schema = {"type": "object", "properties": {"api_key": {"type": "string"}, "headers": {"type": "object"}}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"base_url": "x"}'}}
    body = {
        "model": MODEL,
        "messages": [
            {"role": "user", "content": "what is an api_base?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"api_key": 1}'},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
    }
    provider.forget()
    assert ask(daemon.url, daemon.secrets[-1], body).status == 200
    sent = provider.call.json
    assert sent["tools"][0]["function"]["parameters"] == schema
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"base_url": "x"}'


def test_what_is_dropped_is_named(daemon: Daemon, provider: Upstream) -> None:
    provider.forget()
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "frobnicate": 1, "logitech": [2]}
    heard = ask(daemon.url, daemon.secrets[-1], body)
    assert heard.status == 200
    assert {name.strip() for name in heard.headers["x-chatvault-dropped"].split(",")} == {
        "frobnicate",
        "logitech",
    }
