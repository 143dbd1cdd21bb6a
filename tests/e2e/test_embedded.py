"""A real language model answers through the gateway, on the CPU, with nothing else installed."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.clients import ask, chat, official
from tests.support.daemon import Daemon, Serve

MODEL = "embedded/smollm2-135m"
_CONFIG = {"providers": {"embedded": {"kind": "embedded"}}}


@pytest.mark.seconds(180)
def test_a_streamed_answer_of_a_real_model_with_the_official_client(serve: Serve) -> None:
    daemon = serve(_CONFIG)
    with official(daemon.url, daemon.add_token()) as client:
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Name the capital of France in one sentence."}],
            max_tokens=24,
            seed=7,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    text = "".join(word or "" for word in words)
    assert "Paris" in text
    assert len([word for word in words if word]) > 3, "it did not stream"
    usage = chunks[-1].usage
    assert usage is not None and usage.prompt_tokens > 5 and 0 < usage.completion_tokens <= 24

    row = daemon.wait_for_rows(1)[0]
    assert (row["input_tokens"], row["output_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert (row["status"], row["usage_basis"], row["cost_basis"]) == ("ok", "provider", "local")
    assert row["cost_picousd"] == 0
    listed = daemon.json("usage", "--since", "7d", "--by", "model")["rows"]
    assert [(line["model"], line["output_tokens"]) for line in listed] == [(MODEL, usage.completion_tokens)]


@pytest.mark.seconds(180)
def test_a_killed_model_comes_back_by_itself(serve: Serve) -> None:
    daemon = serve(_CONFIG)
    secret = daemon.add_token()
    body = chat(MODEL, "Say hello.", max_tokens=4)
    assert ask(daemon.url, secret, body, timeout=120).status == 200
    children = _children(daemon)
    assert children, "the model does not run in a process of its own"
    for child in children:
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (heard := ask(daemon.url, secret, body, timeout=120)).status != 200:
        assert heard.status in (502, 503), heard.body
        assert time.monotonic() < deadline
        time.sleep(0.5)
    again = _children(daemon)
    daemon.stop()
    assert not [pid for pid in again if _runs(pid)], "the model outlived the gateway"


def _children(daemon: Daemon) -> list[int]:
    assert daemon.process is not None
    parent = daemon.process.pid
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
