"""The provider of kind `openai_compatible`."""

import asyncio
import json
from typing import Any

import pytest

from chatvault.core.chat import ChatRequest, Message
from chatvault.core.secret import Secret
from chatvault.errors import ConfigError
from chatvault.providers.openai_compatible import OpenAICompatible, Settings, build
from tests.support.answers import FakeAnswer, FakeClient
from tests.support.openai_events import DONE, event
from tests.support.resources import resources
from tests.support.streams import read_to_end

ANSWER = b'{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},'
ANSWER += b'"finish_reason":"stop"}]}'
HI = ChatRequest("m", (Message("developer", "d"), Message("user", "hi")))


def server(
    *answers: FakeAnswer, url: str = "http://127.0.0.1:8000/v1", **settings: Any
) -> tuple[OpenAICompatible, FakeClient]:
    client = FakeClient(list(answers))
    return OpenAICompatible("vllm", Settings(base_url=url, **settings), client), client


def sent(request: ChatRequest = HI, **settings: Any) -> dict[str, Any]:
    provider, client = server(FakeAnswer(ANSWER), **settings)
    asyncio.run(provider.complete(request, "model-1"))
    return json.loads(client.asked[0].body)


def test_the_answer_goes_out_as_it_came():
    provider, client = server(FakeAnswer(ANSWER))
    assert asyncio.run(provider.complete(HI, "model-1")).body == ANSWER
    assert client.asked[0].path == "/chat/completions"
    assert "authorization" not in client.asked[0].headers


def test_a_key_goes_along_where_there_is_one():
    provider, client = server(FakeAnswer(ANSWER), api_key=Secret("sk-abcdefghij"))
    asyncio.run(provider.complete(HI, "model-1"))
    assert client.asked[0].headers["authorization"] == "Bearer sk-abcdefghij"


def test_a_stream_goes_out_as_it_came():
    events = event({"content": "x"}, "stop") + DONE
    provider, client = server(FakeAnswer(events))

    async def read() -> bytes:
        return await read_to_end(await provider.stream(HI, "model-1"))

    assert asyncio.run(read()) == events
    assert client.asked[0].manual_clock
    assert json.loads(client.asked[0].body)["stream_options"] == {"include_usage": True}


def test_openai_has_words_of_its_own():
    limited = ChatRequest("m", HI.messages, max_tokens=5)
    assert sent(limited)["max_tokens"] == 5
    assert sent(limited)["messages"][0]["role"] == "system"
    at_openai = sent(limited, url="https://api.openai.com/v1")
    assert at_openai["max_completion_tokens"] == 5
    assert at_openai["messages"][0]["role"] == "developer"
    assert sent(limited, max_tokens_field="max_completion_tokens")["max_completion_tokens"] == 5


def test_what_budgets_reckon_with_is_what_is_sent():
    provider, _ = server(max_output_tokens=100)
    assert provider.output_limit(HI, "model-1") == 100
    assert sent(max_output_tokens=100)["max_tokens"] == 100
    assert "max_tokens" not in sent()
    assert server()[0].output_limit(HI, "model-1") is None


def test_it_is_local_where_the_settings_say_so_and_not_by_its_address():
    assert not server()[0].is_local
    assert server(local=True)[0].is_local


def test_models_come_with_their_context():
    listed = {
        "data": [
            {"id": "a", "created": 3, "max_model_len": 4096},
            {"id": "b", "context_length": 10},
            {"id": "c"},
        ]
    }
    provider, _ = server(FakeAnswer(json.dumps(listed).encode()))
    found = asyncio.run(provider.models())
    assert [(model.id, model.created, model.context_tokens) for model in found] == [
        ("a", 3, 4096),
        ("b", None, 10),
        ("c", None, None),
    ]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (FakeAnswer(b'{"data":[]}'), "pass"),
        (FakeAnswer(b"", status=404), "warn"),
        (FakeAnswer(b"", status=500), "fail"),
        (FakeAnswer(b"<html>"), "fail"),
    ],
)
def test_a_check_tells_what_is_wrong(answer, status):
    assert asyncio.run(server(answer)[0].check()).status == status


def test_closing_closes_the_connections():
    provider, client = server()
    asyncio.run(provider.aclose())
    assert client.is_closed


def test_it_is_not_built_without_an_address():
    with pytest.raises(ConfigError):
        build("vllm", Settings(), resources())
