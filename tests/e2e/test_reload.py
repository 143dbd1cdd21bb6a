"""Settings that change while the daemon serves: taken over whole, or not at all."""

import json
import os
import signal
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.certificates import Authority
from tests.support.clients import NO_TLS
from tests.support.daemon import Daemon, Serve
from tests.support.openai_shape import DONE, MODEL, chunk, settings, usage_chunk
from tests.support.scripted import Answer, Seen, Step, Upstream
from tests.support.small_disk import Filler, small_disk
from tests.support.streams import hear

ECHO = {"providers": {"echo": {"kind": "echo"}}}
_LOADED = "SELECT body FROM audit WHERE kind = 'config.loaded' ORDER BY seq"


def ask(daemon: Daemon, secret: str, model: str, prompt: str = "hello there") -> httpx.Response:
    return httpx.post(
        f"{daemon.url}/v1/chat/completions",
        headers={"authorization": f"Bearer {secret}"},
        json={"model": model, "messages": [{"role": "user", "content": prompt}]},
        timeout=20,
        verify=NO_TLS,
    )


def ask_at(daemon: Daemon, path: str, context: ssl.SSLContext) -> httpx.Response:
    return httpx.get(f"{daemon.url}{path}", timeout=20, verify=context)


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


def test_a_relay_that_is_not_pinned_is_refused_whole_unless_nobody_wants_it_yet(serve: Serve) -> None:
    daemon = serve(ECHO)
    secret = daemon.add_token()
    done = daemon.run("tunnel", "up")
    assert (done.returncode, "name no relay" in done.stderr) == (2, True)
    tunnel = {"host": "192.0.2.1", "allow_plain_http": True}
    mine = {"models": {"mine": {"routes": ["echo/echo"]}}}
    daemon.write_config({**ECHO, **mine, "tunnel": {**tunnel, "enabled": True}})

    done = daemon.run("config", "reload")

    assert (done.returncode, "no host key of 192.0.2.1 is pinned" in done.stderr) == (2, True), done.stderr
    assert "tunnel setup" in done.stderr
    assert ask(daemon, secret, "mine").status_code == 404
    assert daemon.json("tunnel", "status")["relay"] is None

    daemon.write_config({**ECHO, **mine, "tunnel": tunnel})
    answer = daemon.json("config", "reload")
    assert (answer["needs_restart"], answer.get("tunnel")) == ([], None)
    assert daemon.json("tunnel", "status")["relay"] == "chatvault-relay@192.0.2.1"
    found = daemon.json("tunnel", "up", code=1)
    assert (found["state"], "pinned" in found["reason"]) == ("failed", True)


class TestTls:
    """server.tls is taken over: on, off, or another pair of files; a wrong pair changes nothing."""

    def make(self, daemon: Daemon) -> tuple[dict[str, Any], ssl.SSLContext]:
        made = daemon.json("tls", "self-signed", "--name", "127.0.0.1")
        config = {**ECHO, "server": {"tls": {"cert": made["cert"], "key": made["key"]}}}
        return config, ssl.create_default_context(cafile=made["ca"])

    def test_it_is_switched_on_and_off_while_an_answer_runs(self, serve: Serve, upstream: Upstream) -> None:
        is_over = threading.Event()

        def script(seen: Seen) -> Answer:
            def steps() -> Iterator[Step]:
                yield chunk("begun ")
                while not is_over.is_set():
                    yield 0.02
                yield from (chunk("ended"), chunk(finish="stop"), usage_chunk(), DONE)

            return Answer(steps(), headers={"content-type": "text/event-stream"})

        upstream.script = script
        plain = settings(upstream.url)
        daemon = serve(plain)
        secret = daemon.add_token()
        https, context = self.make(daemon)
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "go"}]}
        headers = {"authorization": f"Bearer {secret}"}
        url = f"{daemon.url}/v1/chat/completions"
        with httpx.stream("POST", url, headers=headers, json=body, timeout=60, verify=NO_TLS) as answer:
            pieces = answer.iter_bytes()
            heard = next(pieces)
            daemon.write_config({**plain, "server": https["server"]})
            reloaded = daemon.json("config", "reload")
            assert (reloaded["changed"], reloaded["tls"]) == (["server.tls"], "on")
            assert reloaded["needs_restart"] == []
            daemon.tls = context
            assert ask_at(daemon, "/health", context).status_code == 200
            assert daemon.json("status")["base_url"].startswith("https://127.0.0.1:")
            assert daemon.json("tokens", "add", "other")["base_url"].startswith("https://")
            checks = json.loads(daemon.run("doctor", "--json").stdout)["checks"]
            assert [each["status"] for each in checks if each["name"] == "Gateway"] == ["pass"]
            is_over.set()
            heard += b"".join(pieces)
        assert hear(heard).text == "begun ended"

        daemon.write_config(plain)
        assert daemon.json("config", "reload")["tls"] == "off"
        daemon.tls = None
        assert ask_at(daemon, "/health", NO_TLS).status_code == 200
        told = [json.loads(row["body"]) for row in daemon.query(_LOADED)]
        assert [each.get("tls") for each in told] == [None, "on", "off"]

    def test_another_pair_is_served_and_a_wrong_one_refused_whole(self, serve: Serve) -> None:
        daemon = serve(ECHO)
        first, context = self.make(daemon)
        daemon.write_config(first)
        assert daemon.json("config", "reload")["tls"] == "on"
        daemon.tls = context
        pem = daemon.home / "other.pem"
        authority = Authority(daemon.home)
        authority.server("127.0.0.1")
        (daemon.home / "127.0.0.1.pem").rename(pem)

        wrong = {"tls": {"cert": str(pem), "key": first["server"]["tls"]["key"]}}
        daemon.write_config({**ECHO, "server": {**wrong, "max_body_bytes": 9}})
        done = daemon.run("config", "reload")
        assert (done.returncode, "is not the key of" in done.stderr) == (2, True), done.stderr
        assert ask_at(daemon, "/health", context).status_code == 200

        daemon.write_config({**ECHO, "server": {"tls": {"cert": str(pem), "key": str(pem)}}})
        assert daemon.json("config", "reload")["tls"] == "replaced"
        daemon.tls = authority.client()
        assert ask_at(daemon, "/health", daemon.tls).status_code == 200
        with pytest.raises(httpx.ConnectError):
            ask_at(daemon, "/health", context)


def test_names_it_answers_to_are_taken_over(serve: Serve) -> None:
    daemon = serve(ECHO)

    def status(host: str) -> int:
        answer = httpx.get(f"{daemon.url}/health", headers={"host": host}, verify=NO_TLS)
        return answer.status_code

    names = ("one.example.org", "two.example.org", "three.example.org")
    assert [status(name) for name in names] == [421] * 3
    server = {"allowed_hosts": [names[0]], "public_url": f"https://{names[1]}/v1"}
    daemon.write_config({**ECHO, "server": server, "tunnel": {"host": names[2]}})
    assert daemon.json("config", "reload")["needs_restart"] == []
    assert [status(name) for name in names] == [200] * 3
    assert daemon.json("tokens", "add", "phone")["base_url"] == f"https://{names[1]}/v1"
    daemon.write_config(ECHO)
    daemon.json("config", "reload")
    assert [status(name) for name in names] == [421] * 3


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
