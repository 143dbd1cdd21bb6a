"""Recorded provider traffic through the whole gateway: what was said arrives, its cost is written down.

Expectations come from `tests.support.reading` and from the small price list below, worked out in whole
picodollars by hand: nothing of ChatVault's computes them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.clients import Heard, ask, chat
from tests.support.daemon import Daemon, Row
from tests.support.openai_shape import provider
from tests.support.reading import Counts, Reading, arguments, read
from tests.support.recordings import recordings
from tests.support.scripted import Answer, Upstream, cut_up, json_answer

_FOLDERS = ("anthropic", "deepseek", "ollama", "ollama-live", "openai")
_NOT_CHAT = (
    "chat-load-only",
    "chat-unload",
    "models-list",
    "model",
    "count-tokens",
    "responses",
    "generate",
    "embed",
    "tags",
    "ps",
    "version",
    "show",
    "create",
    "cors",
    "host",
    "root",
    "unknown",
    "wrong",
    "v1-model",
    "v1-messages",
    "v1-completions",
    "v1-embeddings",
    "v1-responses",
    "v1-count",
)


@dataclass(frozen=True)
class Recording:
    """A recorded answer: `kind` is whose format it has, `model` what a client asks for to get it."""

    folder: str
    name: str
    kind: str
    model: str
    status: int
    content_type: str
    body: bytes
    is_stream: bool

    def __str__(self) -> str:
        return f"{self.folder}/{self.name}"


# picodollars a token: fresh input, cache read, 5-minute write, 1-hour write, output; and a web search.
_PRICES = {
    "anthropic/claude-sonnet-5-5": (2_000_000, 100_000, 2_500_000, 4_000_000, 10_000_000),
    "anthropic/claude-opus-5-5": (4_000_000, 200_000, 5_000_000, 8_000_000, 20_000_000),
    "other/gpt-5.4": (1_250_000, 125_000, 0, 0, 10_000_000),
}
_FLASH, _FLASH_AT_PEAK = (150_000, 3_000, 0, 0, 600_000), (300_000, 6_000, 0, 0, 1_200_000)
_SEARCH = 10_000_000_000
_LOCAL = "ollama/"


def _recordings() -> list[Recording]:
    found = []
    for folder in _FOLDERS:
        for one in recordings(folder):
            name, _, ending = one.name.partition(".")
            if name.startswith(_NOT_CHAT):
                continue
            body = one.body
            headers = {key.lower(): value for key, value in (one.meta.get("headers") or {}).items()}
            content_type = one.meta.get("content_type") or headers.get("content-type") or "application/json"
            is_stream = one.is_stream
            if ending == "chunks.jsonl":  # kept without its framing
                body = b"".join(b"data: " + line + b"\n\n" for line in body.splitlines())
                content_type, is_stream = "text/event-stream", True
            kind, model = _asked(folder, name)
            found.append(Recording(folder, name, kind, model, one.status, content_type, body, is_stream))
    return found


def _asked(folder: str, name: str) -> tuple[str, str]:
    if folder == "anthropic":
        return "anthropic", "anthropic/claude-sonnet-5-5"
    if folder == "deepseek":
        return "openai", "deepseek/deepseek-flash"
    if folder == "openai" or name.startswith("v1-"):
        return "openai", "other/gpt-5.4"
    return "ollama", "ollama/llama3.2:3b"


_ALL = _recordings()
_BROKEN = [r for r in _ALL if r.status == 200 and ("error" in r.name or "killed" in r.name)]
_GOOD = [r for r in _ALL if r.status == 200 and r not in _BROKEN]
_REFUSED = [r for r in _ALL if r.status != 200]
_chance = random.Random(5)

pytestmark = pytest.mark.skipif(not _ALL, reason="no recordings at hand")


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as scripted:
        model = {"name": "llama3.2:3b", "model": "llama3.2:3b", "size": 2_000_000_000, "digest": "0" * 64}
        scripted.lists["/api/tags"] = json_answer({"models": [model]})
        scripted.lists["/api/version"] = json_answer({"version": "0.40.0"})
        info = {"general.architecture": "llama", "llama.context_length": 131072}
        scripted.lists["/api/show"] = json_answer(
            {"capabilities": ["completion", "tools", "thinking", "vision"], "model_info": info}
        )
        yield scripted


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[Daemon]:
    key = "sk-wire-0d9f8e7c6b5a"
    config = {
        "providers": {
            "anthropic": {"kind": "anthropic", "base_url": upstream.url, "api_key": key},
            "deepseek": {"kind": "deepseek", "base_url": upstream.url, "api_key": key},
            "ollama": {"kind": "ollama", "base_url": upstream.url},
            "other": provider(upstream.url),
        },
        "prices": {
            "overrides": [
                {"model": "gpt-5.4", "per_mtok": {"input": 1.25, "output": 10, "cache_read": 0.125}}
            ]
        },
    }
    with Daemon(tmp_path_factory.mktemp("wire") / "home", config, secrets=[key]).start() as started:
        started.add_token()
        yield started


def _ask(daemon: Daemon, upstream: Upstream, recording: Recording, **fields: Any) -> Heard:
    most = max(1, len(recording.body) // 30)
    steps = cut_up(recording.body, _chance, pieces=_chance.randint(1, min(60, most)))
    headers = {"content-type": recording.content_type, "request-id": "req_recorded"}
    upstream.script = lambda seen: Answer(steps, recording.status, headers)
    upstream.forget()
    return ask(daemon.url, daemon.secrets[-1], chat(recording.model, max_tokens=64_000, **fields))


def _cost(model: str, runs: list[Counts], row: Row) -> int:
    if model.startswith(_LOCAL):
        return 0
    fresh, cached, five, hour, output = _PRICES.get(model) or _flash_price(row)
    return sum(
        (run.fresh or 0) * fresh
        + (run.cached or 0) * cached
        + (run.written_5m or 0) * five
        + (run.written_1h or 0) * hour
        + (run.output or 0) * output
        + run.searches * _SEARCH
        for run in runs
    )


def _flash_price(row: Row) -> tuple[int, ...]:
    """DeepSeek's price at the row's own time: dearer on weekdays from 1 to 4 and from 6 to 10, UTC.

    Chinese holidays have the low price too; there, and across a boundary, the row says which was taken.
    """
    begun, ended = (datetime.fromtimestamp(row[at] / 1000, UTC) for at in ("started_at", "finished_at"))
    peaks = {at.weekday() < 5 and at.hour in (1, 2, 3, 6, 7, 8, 9) for at in (begun, ended)}
    if peaks == {False}:
        return _FLASH
    is_known_workday = "2026-11-23" <= begun.date().isoformat() <= "2026-12-31"
    if peaks == {True} and is_known_workday:
        return _FLASH_AT_PEAK
    return _FLASH_AT_PEAK if row["cost_basis"] == "upper_bound" or row["cost_picousd"] else _FLASH


def _check_heard(heard: Heard, said: Reading) -> None:
    assert heard.status == 200, heard.body
    assert heard.text == said.text
    assert heard.reasoning == said.reasoning
    assert [(name, arguments(text)) for name, text in heard.tools] == said.tools
    assert heard.finish == said.finish


def _check_written(row: Row, recording: Recording, said: Reading) -> None:
    assert row["status"] == "ok"
    assert row["input_tokens"] == said.total("input")
    assert row["output_tokens"] == said.total("output")
    assert row["cached_tokens"] == said.total("cached")
    assert row["cache_write_tokens"] == said.total("written")
    assert row["reasoning_tokens"] == said.total("reasoning")
    assert row["usage_basis"] == "provider"
    assert row["cost_picousd"] == _cost(recording.model, said.runs, row)
    if recording.model.startswith(_LOCAL):
        assert row["cost_basis"] == "local"
    elif not recording.model.startswith("deepseek"):
        assert row["cost_basis"] == "exact"


@pytest.mark.parametrize("recording", [r for r in _GOOD if r.is_stream], ids=str)
@pytest.mark.parametrize("with_usage", [True, False])
@pytest.mark.full
@pytest.mark.seconds(600)
def test_a_stream(
    daemon: Daemon, upstream: Upstream, recording: Recording, with_usage: bool, is_full: bool
) -> None:
    said = read(recording.kind, recording.body, is_stream=True)
    for _ in range(20 if is_full else 1):
        _check_stream(daemon, upstream, recording, said, with_usage=with_usage)


def _check_stream(
    daemon: Daemon, upstream: Upstream, recording: Recording, said: Reading, *, with_usage: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    heard = _ask(daemon, upstream, recording, stream=True, **options)
    _check_heard(heard, said)
    assert heard.is_done
    row = daemon.row(heard.id)
    if said.runs:
        _check_written(row, recording, said)
        assert (heard.usage is not None) == with_usage
        if heard.usage:
            assert heard.usage["prompt_tokens"] == said.total("input")
            assert heard.usage["completion_tokens"] == said.total("output")
    else:
        assert row["usage_basis"] == "estimated"


@pytest.mark.parametrize("recording", [r for r in _GOOD if not r.is_stream], ids=str)
def test_a_whole_answer(daemon: Daemon, upstream: Upstream, recording: Recording) -> None:
    said = read(recording.kind, recording.body, is_stream=False)
    heard = _ask(daemon, upstream, recording)
    _check_heard(heard, said)
    _check_written(daemon.row(heard.id), recording, said)
    assert heard.usage and heard.usage["completion_tokens"] == said.total("output")


@pytest.mark.parametrize("recording", _BROKEN, ids=str)
def test_a_stream_that_broke(daemon: Daemon, upstream: Upstream, recording: Recording) -> None:
    said = read(recording.kind, recording.body, is_stream=True)
    heard = _ask(daemon, upstream, recording, stream=True)
    assert not heard.is_done and heard.error
    assert heard.text == said.text and heard.reasoning == said.reasoning
    row = daemon.row(heard.id)
    assert row["status"] == "error"
    if said.runs:
        assert row["input_tokens"] == said.total("input")


@pytest.mark.parametrize("recording", _REFUSED, ids=str)
@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal(daemon: Daemon, upstream: Upstream, recording: Recording, stream: bool) -> None:
    heard = _ask(daemon, upstream, recording, stream=stream)
    expected = {401: 502, 403: 502, 402: 402, 529: 503}.get(recording.status, recording.status)
    assert heard.status == expected, heard.body
    assert set(heard.json["error"]) == {"message", "type", "param", "code"}
    row = daemon.row(heard.id)
    assert (row["status"], row["http_status"], row["cost_picousd"]) == ("error", expected, 0)
    if recording.status in (401, 403):
        assert heard.json["error"]["code"] == "upstream_auth"
        assert "sk-wire" not in heard.body.decode()


@pytest.mark.parametrize("name", ["cache-write-1h-nonstream", "websearch-followup-stream"])
def test_the_price_is_the_asked_models(daemon: Daemon, upstream: Upstream, name: str) -> None:
    recording = next(r for r in _GOOD if r.name == name)
    said = read(recording.kind, recording.body, is_stream=recording.is_stream)
    model = "anthropic/claude-opus-5-5"
    headers = {"content-type": recording.content_type}
    upstream.script = lambda seen: Answer([recording.body], 200, headers)
    heard = ask(daemon.url, daemon.secrets[-1], chat(model, stream=recording.is_stream, max_tokens=100))
    row = daemon.row(heard.id)
    assert row["cost_picousd"] == _cost(model, said.runs, row)
    assert row["upstream_model"] == "claude-opus-5-5"


def test_afterwards_the_books_are_whole(daemon: Daemon) -> None:
    verdict = daemon.json("audit", "verify", "--full")
    assert verdict["ok"], verdict
    rows = daemon.ledger()
    assert daemon.query("SELECT * FROM hold") == []
    total = daemon.json("usage", "--since", "1d")["total"]
    assert total["requests"] == len(rows)
    assert total["cost_picousd"] == sum(row["cost_picousd"] or 0 for row in rows)
    assert total["output_tokens"] == sum(row["output_tokens"] or 0 for row in rows)
