"""Settings that change while the daemon serves: taken over whole, or not at all."""

import os
import signal
import threading
import time

import httpx

from tests.support.clients import NO_TLS
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import MODEL, settings, streamed
from tests.support.scripted import Upstream
from tests.support.streams import hear

ECHO = {"providers": {"echo": {"kind": "echo"}}}


def ask(daemon: Daemon, secret: str, model: str, prompt: str = "hello there") -> httpx.Response:
    return httpx.post(
        f"{daemon.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}"},
        json={"model": model, "messages": [{"role": "user", "content": prompt}]},
        timeout=20,
        verify=NO_TLS,
    )


def kinds(daemon: Daemon) -> list[str]:
    return [row["kind"] for row in daemon.query("SELECT kind FROM audit ORDER BY seq")]


def test_a_new_alias_is_there_after_config_reload(serve: Serve) -> None:
    daemon = serve(ECHO)
    secret = daemon.add_token()
    assert ask(daemon, secret, "mine").status_code == 404

    daemon.write_config({**ECHO, "models": {"mine": {"routes": ["echo/echo"]}}})
    answer = daemon.json("config", "reload")

    assert answer["changed"] == ["models.mine"]
    assert answer["needs_restart"] == []
    assert ask(daemon, secret, "mine").status_code == 200
    models = httpx.get(
        f"{daemon.url}/v1/models", headers={"authorization": f"Bearer {secret}"}, verify=NO_TLS
    ).json()
    assert "mine" in [each["id"] for each in models["data"]]
    assert kinds(daemon).count("config.loaded") == 2


def test_a_bad_file_changes_nothing_and_says_so(serve: Serve) -> None:
    daemon = serve(ECHO)
    secret = daemon.add_token()
    daemon.write_config("providers:\n  echo: {kind: eccho}\n")

    done = daemon.run("config", "reload")

    assert done.returncode == 2
    assert "eccho" in done.stderr
    assert ask(daemon, secret, "echo/echo").status_code == 200
    conditions = {each["name"]: each["detail"] for each in daemon.json("status")["conditions"]}
    assert "eccho" in conditions["settings"]
    assert kinds(daemon)[-2:].count("config.rejected") == 1

    daemon.write_config(ECHO)
    daemon.json("config", "reload")
    assert daemon.json("status")["conditions"] == []


def test_what_holds_only_after_a_restart_is_said(serve: Serve) -> None:
    daemon = serve(ECHO)
    daemon.write_config({**ECHO, "server": {"max_connections": 5}})

    assert daemon.json("config", "reload")["needs_restart"] == ["server.max_connections"]


def test_a_hangup_reloads(serve: Serve) -> None:
    daemon = serve(ECHO)
    secret = daemon.add_token()
    daemon.write_config({**ECHO, "models": {"mine": {"routes": ["echo/echo"]}}})
    assert daemon.process is not None

    os.kill(daemon.process.pid, signal.SIGHUP)

    deadline = time.monotonic() + 5
    while ask(daemon, secret, "mine").status_code != 200:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)


def test_running_streams_live_on_in_the_old_settings(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    words = [f"word{number} " for number in range(120)]
    upstream.script = lambda seen: streamed(words, pause=0.02)
    outcomes: list[str] = []

    def stream() -> None:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "go"}]}
        answer = httpx.post(
            f"{daemon.url}/v1/chat/completions",
            headers={"authorization": f"Bearer {secret}"},
            json=body,
            timeout=30,
            verify=NO_TLS,
        )
        heard = hear(answer.content)
        assert heard.is_done
        outcomes.append(heard.text)

    streams = [threading.Thread(target=stream) for _ in range(5)]
    for each in streams:
        each.start()
    upstream.wait_for_calls(5)
    for number in range(4):
        is_bad = number % 2 == 1
        others = {f"echo{number}": {"kind": "echo"}}
        daemon.write_config("nonsense: true\n" if is_bad else {"providers": others})
        assert daemon.run("config", "reload").returncode == (2 if is_bad else 0)
    assert ask(daemon, secret, MODEL).status_code == 404
    assert ask(daemon, secret, "echo2/echo").status_code == 200
    assert not outcomes, "the streams were to run on during the reloads"
    for each in streams:
        each.join()

    assert outcomes == ["".join(words)] * 5
    assert [row["status"] for row in daemon.wait_for_rows(7)].count("ok") == 6


def test_a_provider_that_stays_keeps_its_connections(serve: Serve, upstream: Upstream) -> None:
    before = settings(upstream.url)
    daemon = serve(before)
    secret = daemon.add_token()
    assert ask(daemon, secret, MODEL).status_code == 200

    daemon.write_config({**before, "providers": {**before["providers"], "more": {"kind": "echo"}}})
    assert daemon.json("config", "reload")["changed"] == ["providers.more"]

    assert ask(daemon, secret, MODEL).status_code == 200
    assert ask(daemon, secret, "more/echo").status_code == 200


def test_a_drain_ends_the_daemon_after_its_answers(serve: Serve) -> None:
    from chatvault.control.client import ControlClient

    daemon = serve(ECHO)
    process = daemon.process
    assert process is not None

    answer = ControlClient(daemon.home / "run" / "control.sock").post("/v1/drain")

    assert answer["requests_in_flight"] == 0
    assert process.wait(10) == 0
    daemon.process = None
    assert "daemon.stopped" in kinds(daemon)[-2:]
