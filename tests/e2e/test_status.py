"""What `status` shows of a daemon at work."""

import os
import subprocess
import sys

from tests.support.clients import ask, chat
from tests.support.daemon import Serve
from tests.support.scripted import Upstream, json_answer

# What an Ollama says that holds one model, three quarters of it in video memory.
OLLAMA = {
    "/api/ps": {"models": [{"name": "tiny:1b", "size": 4000, "size_vram": 3000}]},
    "/api/version": {"version": "0.30.1"},
    "/api/tags": {"models": []},
}


def test_it_tells_of_use_memory_network_and_loaded_models(serve: Serve, upstream: Upstream) -> None:
    upstream.lists.update({path: json_answer(answer) for path, answer in OLLAMA.items()})
    daemon = serve(
        {"providers": {"ollama": {"kind": "ollama", "base_url": upstream.url}, "echo": {"kind": "echo"}}}
    )
    secret = daemon.add_token()
    assert ask(daemon.url, secret, chat("echo/echo")).status == 200
    daemon.wait_for_rows(1)

    found = daemon.json("status")

    assert found["today"]["requests"] == 1
    assert found["today"]["cost_usd"] == "0.0000"
    assert found["memory_bytes"] > 10_000_000
    assert found["network"]["received_bytes"] >= 0
    assert isinstance(found["gpus"], list)
    assert found["conditions"] == []
    providers = {each["name"]: each for each in found["providers"]}
    assert providers["ollama"]["loaded"] == [
        {"model": "tiny:1b", "memory_bytes": 4000, "video_memory_bytes": 3000}
    ]
    assert "loaded" not in providers["echo"]


def test_an_ollama_that_is_silent_does_not_hold_the_status_up(serve: Serve) -> None:
    daemon = serve({"providers": {"ollama": {"kind": "ollama", "base_url": "http://127.0.0.1:9"}}})
    assert "loaded" not in daemon.json("status")["providers"][0]


def test_watching_shows_it_again_and_again(serve: Serve) -> None:
    daemon = serve({"providers": {"echo": {"kind": "echo"}}})
    watching = subprocess.Popen(
        [sys.executable, "-m", "chatvault", "status", "--watch", "--every", "0.2", "--json"],
        env=daemon.env,
        cwd=os.getcwd(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    lines = [watching.stdout.readline() for _ in range(3)]
    watching.kill()
    watching.communicate()
    assert all(line.startswith('{"schema": 1') for line in lines)
