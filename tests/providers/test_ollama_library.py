"""What an Ollama server has."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from chatvault.errors import ProviderFailed
from chatvault.providers.base import ModelInfo
from chatvault.providers.http import HttpClient
from chatvault.providers.ollama_library import (
    Discovery,
    Library,
    discover,
    is_loopback,
    is_remote,
    open_addresses,
)
from tests.support.ports import free_port
from tests.support.scripted import STALL, Answer, Seen, Upstream, json_answer

NEW = {
    "name": "smollm2:135m",
    "digest": "d1",
    "size": 98,
    "modified_at": "2026-11-23T05:59:54.115579893Z",
    "details": {"context_length": 8192},
    "capabilities": ["completion", "tools"],
}
OLD = {"name": "llama3:latest", "digest": "d2", "size": 7, "details": {"families": ["llama"]}}
CLOUD = {"name": "big:cloud", "digest": "d3", "remote_host": "https://ollama.com:443"}
SHOWN = {
    "model_info": {"llama.block_count": 3, "llama.context_length": 4096},
    "capabilities": ["completion"],
}


def library(tags: Any, shown: Any, *, rounds: int = 1, **asked: Any) -> tuple[list[Any], list[Seen]]:
    async def run(upstream: Upstream) -> list[Any]:
        http = HttpClient(upstream.url)
        found = Library(http, "ollama")
        try:
            return [
                await found.models(**{"with_remote": False, "num_ctx": None} | asked) for _ in range(rounds)
            ]
        finally:
            await http.aclose()

    with Upstream() as upstream:
        upstream.lists["/api/tags"] = json_answer(tags)
        upstream.lists["/api/show"] = shown if isinstance(shown, Answer) else json_answer(shown)
        told = asyncio.run(run(upstream))
        return told, [seen for seen in upstream.seen if seen.path == "/api/show"]


def test_a_new_server_tells_limits_with_the_list() -> None:
    [models], shows = library({"models": [NEW]}, SHOWN)
    expected = ModelInfo(
        "smollm2:135m",
        created=1795413594,
        context_tokens=8192,
        capabilities=("completion", "tools"),
        size_bytes=98,
    )
    assert (models, shows) == ((expected,), [])


def test_an_old_server_is_asked_once_for_each_model() -> None:
    told, shows = library({"models": [OLD]}, SHOWN, rounds=2)
    assert told[0] == told[1]
    assert (told[0][0].context_tokens, told[0][0].capabilities) == (4096, ("completion",))
    assert [seen.json for seen in shows] == [{"model": "llama3:latest"}]


def test_a_model_without_details_is_listed_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    [models], _ = library({"models": [OLD, NEW]}, json_answer({"error": "broken"}, 500))
    assert [(model.id, model.context_tokens) for model in models] == [
        ("llama3:latest", None),
        ("smollm2:135m", 8192),
    ]
    assert "llama3:latest" in caplog.text


@pytest.mark.parametrize(("num_ctx", "context"), [(1024, 1024), (100_000, 8192), (None, 8192)])
def test_the_context_is_what_models_are_run_with(num_ctx: int | None, context: int) -> None:
    [models], _ = library({"models": [NEW]}, SHOWN, num_ctx=num_ctx)
    assert models[0].context_tokens == context


@pytest.mark.parametrize(("with_remote", "count"), [(False, 1), (True, 2)])
def test_models_that_run_elsewhere_are_left_out_unless_wanted(with_remote: bool, count: int) -> None:
    [models], _ = library({"models": [NEW, CLOUD]}, SHOWN, with_remote=with_remote)
    assert len(models) == count


@pytest.mark.parametrize("tags", [{"models": None}, {"models": []}, {}])
def test_no_models_are_no_error(tags: Any) -> None:
    assert library(tags, SHOWN)[0] == [()]


@pytest.mark.parametrize("tags", [[], {"models": [1]}, "hello"])
def test_what_is_no_list_fails(tags: Any) -> None:
    with pytest.raises(ProviderFailed, match="doesn't answer as an Ollama does"):
        library(tags, SHOWN)


@pytest.mark.parametrize(
    ("name", "host", "remote"),
    [
        ("gpt-oss:120b-cloud", None, True),
        ("glm-4.6:cloud", None, True),
        ("me/glm:cloud", None, True),
        ("copied", "https://ollama.com:443", True),
        ("cloud", None, False),
        ("cloud:7b", None, False),
        ("my-cloud/llama3:8b", None, False),
        ("llama3", "", False),
    ],
)
def test_a_remote_model_is_told_by_its_tag_or_its_host(name: str, host: str | None, remote: bool) -> None:
    assert is_remote(name, host) is remote


def test_discovery_finds_a_running_server() -> None:
    with Upstream() as upstream:
        upstream.lists["/api/version"] = json_answer({"version": "0.33.0-rc2"})
        upstream.lists["/api/tags"] = json_answer({"models": [NEW, CLOUD]})
        found = asyncio.run(discover(upstream.url))
    assert found == Discovery("0.33.0-rc2", ("smollm2:135m",))


def test_discovery_finds_nothing_where_nothing_listens() -> None:
    assert asyncio.run(discover(f"http://127.0.0.1:{free_port()}")) is None


@pytest.mark.parametrize(
    "answer", [Answer(before_headers=[STALL]), json_answer({"hello": 1}), json_answer({}, 500)]
)
def test_discovery_gives_up_on_what_is_no_ollama(answer: Answer) -> None:
    with Upstream() as upstream:
        upstream.lists["/api/version"] = answer
        assert asyncio.run(discover(upstream.url, timeout_seconds=0.2)) is None


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:11434", True),
        ("http://localhost:11434", True),
        ("http://192.168.1.5:11434", False),
        ("http://localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_told_by_the_host(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_who_listens_beyond_loopback_is_read_from_the_kernels_tables(tmp_path: Path) -> None:
    head = "  sl  local_address rem_address   st\n"
    four, six = tmp_path / "tcp", tmp_path / "tcp6"
    four.write_text(
        head
        + "   0: 0100007F:2CAA 00000000:0000 0A\n"  # 127.0.0.1:11434, listening
        + "   1: 0501A8C0:2CAA 00000000:0000 0A\n"  # 192.168.1.5:11434, listening
        + "   2: 0501A8C0:2CAA 0601A8C0:9999 01\n"  # the same, a connection
        + "   3: 00000000:1F90 00000000:0000 0A\n"  # another port
    )
    six.write_text(head + f"   0: {'0' * 32}:2CAA {'0' * 32}:0000 0A\n")
    assert open_addresses(11434, [four, six, tmp_path / "missing"]) == ("192.168.1.5", "::")


def test_the_kernels_own_tables_tell_of_a_loopback_server_only() -> None:
    with Upstream() as upstream:
        assert open_addresses(upstream.port) == ()
