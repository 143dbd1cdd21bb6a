"""The Ollama provider, against a server on a socket."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import pytest

from chatvault.core.chat import ChatRequest, Message
from chatvault.core.secret import Secret
from chatvault.core.usage import Usage
from chatvault.errors import (
    ProviderBroke,
    ProviderFailed,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnreachable,
    RequestError,
)
from chatvault.providers.ollama import Ollama, Settings, build
from tests.support.ports import free_port
from tests.support.resources import resources
from tests.support.scripted import CUT, STALL, Answer, Seen, Step, Upstream, json_answer
from tests.support.streams import hear, read_to_end

T = TypeVar("T")
TAGS = {"models": [{"name": "llama3:8b", "digest": "d1"}, {"name": "glm:cloud", "remote_host": "https://x"}]}
LINES = (
    b'{"model":"llama3","message":{"role":"assistant","content":"The"},"done":false}\n',
    b'{"model":"llama3","message":{"role":"assistant","content":" river"},"done":false}\n',
    b'{"model":"llama3","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    b'"prompt_eval_count":11,"eval_count":2}\n',
)
ERROR_LINE = b'{"error":"an error was encountered while running the model: secret"}\n'


def lines(*steps: Step, before: Iterable[Step] = ()) -> Answer:
    return Answer(steps, headers={"content-type": "application/x-ndjson"}, before_headers=before)


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest(model="fast", messages=(Message("user", "hi"),), **fields)


def with_provider(
    answer: Answer | Callable[[Seen], Answer],
    use: Callable[[Ollama, Upstream], Awaitable[T]],
    **settings: Any,
) -> T:
    async def run(upstream: Upstream) -> T:
        provider = build("ollama", Settings(base_url=upstream.url, **settings), resources())
        assert isinstance(provider, Ollama)
        try:
            return await use(provider, upstream)
        finally:
            await provider.aclose()

    with Upstream(answer if callable(answer) else lambda seen: answer) as upstream:
        return asyncio.run(run(upstream))


async def streamed(provider: Ollama, upstream: Upstream) -> bytes:
    return await read_to_end(await provider.stream(chat(stream=True), "llama3"))


async def completed(provider: Ollama, upstream: Upstream) -> Any:
    return await provider.complete(chat(), "llama3")


def test_a_stream_is_translated_and_its_connection_used_again() -> None:
    async def twice(provider: Ollama, upstream: Upstream) -> tuple[bytes, bytes, int]:
        return (
            await streamed(provider, upstream),
            await streamed(provider, upstream),
            len(upstream.connections),
        )

    first, second, connections = with_provider(lines(*LINES), twice)
    assert hear(first).text == hear(second).text == "The river"
    assert hear(first).is_done
    assert connections == 1


def test_the_request_is_ollamas_own() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> Seen:
        await streamed(provider, upstream)
        return upstream.call

    seen = with_provider(lines(*LINES), ask, num_ctx=2048, keep_alive="-1", api_key=Secret("sesame-key"))
    assert (seen.method, seen.path) == ("POST", "/api/chat")
    assert seen.headers["authorization"] == "Bearer sesame-key"
    assert "origin" not in seen.headers
    assert seen.json == {
        "model": "llama3",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "truncate": False,
        "shift": False,
        "options": {"num_ctx": 2048},
        "keep_alive": -1,
    }


def test_a_whole_answer_is_asked_for_whole() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> tuple[Any, Any]:
        return await completed(provider, upstream), upstream.call.json

    sent = {"message": {"content": "Hi"}, "done": True, "done_reason": "stop", "eval_count": 1}
    sent["prompt_eval_count"] = 9
    done, asked = with_provider(json_answer(sent), ask)
    assert asked["stream"] is False
    assert json.loads(done.body)["choices"][0]["message"]["content"] == "Hi"
    assert (done.usage, done.upstream_model) == (Usage(input_tokens=9, output_tokens=1), "llama3")


@pytest.mark.parametrize(
    "tail", [(ERROR_LINE,), (CUT,), ()], ids=["error line", "connection cut", "clean end"]
)
def test_an_answer_that_breaks_off_gives_its_beginning_and_then_says_so(tail: tuple[Step, ...]) -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> bytes:
        stream = await provider.stream(chat(stream=True), "llama3")
        got = b""
        with pytest.raises(ProviderBroke) as caught:
            while data := await stream.read():
                got += data
        assert "secret" not in f"{caught.value.message} {caught.value.hint}"
        assert (stream.meter.deltas, stream.meter.usage) == (2, None)
        stream.close()
        return got

    heard = hear(with_provider(lines(LINES[0] + LINES[1], *tail), ask))
    assert (heard.text, heard.is_done, heard.finish) == ("The river", False, None)


def test_an_error_in_the_same_read_does_not_swallow_what_came_before() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> bytes:
        stream = await provider.stream(chat(stream=True), "llama3")
        got = await stream.read()
        with pytest.raises(ProviderBroke):
            await stream.read()
        with pytest.raises(ProviderBroke):
            await stream.read()
        return got

    assert hear(with_provider(lines(LINES[0] + ERROR_LINE), ask)).text == "The"


def test_a_missing_model_names_the_installed_ones_to_the_owner_alone() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> ProviderRefused:
        upstream.lists["/api/tags"] = json_answer(TAGS)
        with pytest.raises(ProviderRefused) as caught:
            await streamed(provider, upstream)
        return caught.value

    error = with_provider(json_answer({"error": "model 'llama3' not found"}, 404), ask)
    assert (error.status, error.code) == (404, "model_not_found")
    assert "llama3:8b" not in error.message
    assert error.hint == "ollama pull llama3; installed: llama3:8b"


def test_a_dead_server_tells_how_to_start_it() -> None:
    async def ask() -> None:
        provider = build("o", Settings(base_url=f"http://127.0.0.1:{free_port()}"), resources())
        with pytest.raises(ProviderUnreachable) as caught:
            await provider.complete(chat(), "llama3")
        assert "ollama serve" in (caught.value.hint or "")
        with pytest.raises(ProviderUnreachable) as again:
            await provider.models()
        assert "ollama serve" in (again.value.hint or "")
        finding = await provider.check()
        assert finding.status == "fail" and "ollama serve" in (finding.fix or "")
        await provider.aclose()

    asyncio.run(ask())


def test_loading_may_take_longer_than_silence_in_an_answer() -> None:
    heard = hear(with_provider(lines(*LINES, before=[1.2]), streamed, timeout_seconds=0.8, load_seconds=30.0))
    assert heard.text == "The river"


def test_loading_has_its_limit() -> None:
    with pytest.raises(ProviderTimeout) as caught:
        with_provider(lines(before=[STALL]), streamed, load_seconds=0.1)
    assert "load_seconds" in (caught.value.hint or "")


def test_silence_in_an_answer_has_its_limit() -> None:
    with pytest.raises(ProviderTimeout):
        with_provider(lines(LINES[0], STALL), streamed, timeout_seconds=0.3, load_seconds=30.0)


def test_a_whole_answer_has_its_limit() -> None:
    with pytest.raises(ProviderTimeout):
        with_provider(lines(before=[STALL]), completed, answer_seconds=0.1)


def test_a_client_that_leaves_before_the_first_token_closes_the_call() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> float:
        task = asyncio.ensure_future(provider.stream(chat(stream=True), "llama3"))
        await asyncio.to_thread(upstream.wait_for_calls)
        left_at = time.monotonic()
        task.cancel()
        closed_at = await asyncio.to_thread(upstream.call.wait_closed)
        with pytest.raises(asyncio.CancelledError):
            await task
        return closed_at - left_at

    # Nothing but the cancellation ends it: the answer itself never comes.
    assert with_provider(lines(before=[STALL]), ask) < 5


def test_closing_a_stream_closes_the_call() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> None:
        stream = await provider.stream(chat(stream=True), "llama3")
        await stream.read()
        stream.close()
        stream.close()
        await asyncio.to_thread(upstream.call.wait_closed)

    with_provider(lines(LINES[0], STALL), ask)


def test_a_server_that_never_ends_its_body_does_not_hold_a_whole_answer() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> bytes:
        async with asyncio.timeout(20):
            return await streamed(provider, upstream)

    assert hear(with_provider(lines(*LINES, STALL), ask)).is_done


def test_a_model_that_only_looks_local_is_refused() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> tuple[bool, int]:
        with pytest.raises(RequestError) as caught:
            await provider.complete(chat(), "gpt-oss:120b-cloud")
        assert caught.value.status == 403
        return provider.is_local, len(upstream.seen)

    assert with_provider(lines(*LINES), ask) == (True, 0)


def test_with_cloud_models_the_provider_is_not_local() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> bool:
        await read_to_end(await provider.stream(chat(stream=True), "gpt-oss:120b-cloud"))
        return provider.is_local

    assert with_provider(lines(*LINES), ask, cloud_models=True) is False


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://gpu.lan:11434", True),
        ("https://ollama.com", False),
        ("https://api.ollama.com", False),
        ("https://notollama.com", True),
    ],
)
def test_ollama_com_is_not_home(url: str, is_local: bool) -> None:
    assert build("o", Settings(base_url=url), resources()).is_local is is_local


def test_the_output_limit_is_what_is_sent() -> None:
    provider = build("o", Settings(), resources())
    assert provider.output_limit(chat(max_tokens=5), "m") == 5
    assert provider.output_limit(chat(), "m") is None


@pytest.mark.parametrize(
    ("tags", "status", "words"),
    [(TAGS, "pass", "Ollama 0.33.0, 1 model"), ({"models": []}, "warn", "0 models")],
)
def test_the_check_tells_version_and_models(tags: Any, status: str, words: str) -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> Any:
        upstream.lists["/api/tags"] = json_answer(tags)
        upstream.lists["/api/version"] = json_answer({"version": "0.33.0"})
        return await provider.check()

    finding = with_provider(lines(), ask)
    assert (finding.status, words in finding.detail) == (status, True)


def test_the_check_fails_for_what_is_no_ollama() -> None:
    async def ask(provider: Ollama, upstream: Upstream) -> Any:
        upstream.lists["/api/version"] = json_answer({"hello": "world"})
        return await provider.check()

    finding = with_provider(lines(), ask)
    assert finding.status == "fail" and "base_url" in (finding.fix or "")


def test_an_answer_that_is_no_answer_fails() -> None:
    with pytest.raises(ProviderFailed):
        with_provider(json_answer({"error": "secret"}), completed)
