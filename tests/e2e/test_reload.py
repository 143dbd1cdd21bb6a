"""Settings that change while the daemon serves: taken over whole, or not at all."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.clients import NO_TLS
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import DONE, MODEL, chunk, settings, usage_chunk
from tests.support.scripted import Answer, Seen, Step, Upstream
from tests.support.small_disk import Filler, small_disk
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

    deadline = time.monotonic() + 30
    while ask(daemon, secret, "mine").status_code != 200:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)


def test_running_streams_live_on_in_the_old_settings(serve: Serve, upstream: Upstream) -> None:
    daemon = serve(settings(upstream.url))
    secret = daemon.add_token()
    words = [f"word{number} " for number in range(20)]
    are_reloaded = threading.Event()

    def script(seen: Seen) -> Answer:
        def steps() -> Iterator[Step]:
            *first, last = [chunk(word) for word in words]
            for each in first:
                yield from (each, 0.02)
            while not are_reloaded.is_set():
                yield 0.02
            yield from (last, chunk(finish="stop"), usage_chunk(), DONE)

        return Answer(steps(), headers={"content-type": "text/event-stream"})

    upstream.script = script
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
    assert not outcomes, "the streams run on during the reloads"
    are_reloaded.set()
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
    assert process.wait(30) == 0
    daemon.process = None
    assert "daemon.stopped" in kinds(daemon)[-2:]


def test_an_emptied_file_is_refused(serve: Serve) -> None:
    daemon = serve(ECHO)
    secret = daemon.add_token()
    daemon.write_config("")

    done = daemon.run("config", "reload")

    assert done.returncode == 2
    assert "no provider" in done.stderr
    assert ask(daemon, secret, "echo/echo").status_code == 200
    assert "no provider" in daemon.json("status")["conditions"][0]["detail"]


def test_what_needs_a_restart_is_told_by_what_runs(serve: Serve) -> None:
    daemon = serve(ECHO)
    daemon.write_config({**ECHO, "server": {"max_connections": 5}})
    daemon.json("config", "reload")

    again = daemon.json("config", "reload")
    assert (again["changed"], again["needs_restart"]) == ([], ["server.max_connections"])
    daemon.write_config(ECHO)
    assert daemon.json("config", "reload")["needs_restart"] == []


def test_a_tunnel_that_was_set_after_the_start_says_that_a_restart_is_needed(serve: Serve) -> None:
    daemon = serve(ECHO)
    done = daemon.run("tunnel", "up")
    assert (done.returncode, "name no relay" in done.stderr) == (2, True)
    daemon.write_config({**ECHO, "tunnel": {"host": "192.0.2.1", "allow_plain_http": True}})
    daemon.json("config", "reload")

    done = daemon.run("tunnel", "up")

    assert done.returncode == 2
    assert "they hold after a restart" in done.stderr
    assert "restart" in daemon.json("tunnel", "status")["hint"]


def _models(daemon: Daemon, secret: str) -> list[str]:
    headers = {"authorization": f"Bearer {secret}"}
    answer = httpx.get(f"{daemon.url}/v1/models", headers=headers, verify=NO_TLS)
    return [each["id"] for each in answer.json()["data"]]


class TestFullDisk:
    """On a disk without room a reload is refused whole, and a revocation holds all the same."""

    @pytest.fixture
    def daemon(self, tmp_path: Path) -> Iterator[Daemon]:
        with small_disk(tmp_path / "disk", megabytes=48) as disk:
            daemon = Daemon(disk / "home", ECHO).start()
            try:
                daemon.add_token()
                self.filler = Filler(disk)
                yield daemon
            finally:
                self.filler.free()
                daemon.stop()

    def fill(self, daemon: Daemon) -> None:
        self.filler.fill()
        for _ in range(2000):
            if daemon.run("tokens", "add", f"more{time.monotonic_ns()}").returncode != 0:
                return
        raise AssertionError("the disk is not full at all")

    def test_good_settings_change_nothing(self, daemon: Daemon) -> None:
        secret = daemon.secrets[-1]
        self.fill(daemon)
        (daemon.home / "config.yaml").write_text("providers: {other: {kind: echo}}")

        done = daemon.run("config", "reload")

        assert (done.returncode, "full" in done.stderr) == (1, True), done.stderr
        assert _models(daemon, secret) == ["echo/echo"]

    def test_bad_settings_say_what_is_wrong_with_them(self, daemon: Daemon) -> None:
        self.fill(daemon)
        (daemon.home / "config.yaml").write_text("providers: {echo: {kind: eccho}}")

        done = daemon.run("config", "reload")

        assert (done.returncode, "eccho" in done.stderr) == (2, True), done.stderr

    def test_a_revocation_holds_at_once_and_says_that_it_is_not_written_down(self, daemon: Daemon) -> None:
        secret = daemon.secrets[-1]
        name = daemon.json("tokens", "list")["tokens"][0]["name"]
        assert ask(daemon, secret, "echo/echo").status_code == 200
        self.fill(daemon)

        done = daemon.run("tokens", "revoke", name)

        assert (done.returncode, "not be written down" in done.stderr) == (1, True), done.stderr
        assert ask(daemon, secret, "echo/echo").status_code == 401
        self.filler.free()
        deadline = time.monotonic() + 60
        while daemon.run("tokens", "add", f"later{time.monotonic_ns()}").returncode != 0:
            assert time.monotonic() < deadline, daemon.log
        assert ask(daemon, secret, "echo/echo").status_code == 401
        assert daemon.run("tokens", "revoke", name).returncode == 0
