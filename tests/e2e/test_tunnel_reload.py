"""Settings of the tunnel that change while it is up, with a real sshd: answers end in the old link."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.clients import NO_TLS
from tests.support.home import PUBLIC_HOST, RELAY_HOST, HomeDaemon, tunnel_config
from tests.support.namespaces import needs_root
from tests.support.openai_shape import DONE, MODEL, chunk, settings, usage_chunk
from tests.support.scripted import Answer, Seen, Step, Upstream
from tests.support.streams import hear
from tests.support.tunnel_world import World, until, world

Config = dict[str, Any]
pytestmark = [needs_root, pytest.mark.seconds(180)]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tunnel")) as made:
        yield made


class Held:
    """A provider at home whose answers end when they are let go."""

    def __init__(self, there: World) -> None:
        self.go = threading.Event()
        self.upstream = there.net.home.call(lambda: Upstream(self._script))

    def _script(self, seen: Seen) -> Answer:
        def steps() -> Iterator[Step]:
            yield chunk("begun ")
            while not self.go.is_set():
                yield 0.02
            yield from (chunk("ended"), chunk(finish="stop"), usage_chunk(), DONE)

        return Answer(steps(), headers={"content-type": "text/event-stream"})


class Stream:
    """An answer that the device hears through the relay, in a thread of its own."""

    def __init__(self, there: World, secret: str, *, port: int = 4000) -> None:
        self.heard = b""
        self._url = f"http://{PUBLIC_HOST}:{port}/v1/chat/completions"
        self._secret = secret
        self._thread = threading.Thread(target=lambda: there.net.device.call(self._listen))
        self._thread.start()
        until(lambda: b"begun" in self.heard, seconds=30, what="the answer's beginning")

    def _listen(self) -> None:
        body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "go"}]}
        headers = {"authorization": f"Bearer {self._secret}"}
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.stream("POST", self._url, headers=headers, json=body, timeout=60, verify=NO_TLS) as answer,
        ):
            for piece in answer.iter_raw():
                self.heard += piece

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> bytes:
        self._thread.join(60)
        assert self.is_over
        return self.heard


@contextlib.contextmanager
def _home(there: World, *, is_any_port_allowed: bool = False) -> Iterator[tuple[HomeDaemon, Held, Config]]:
    """Run a daemon with a provider that is held. Its key may listen on port 4000 of the relay, or on any."""
    held = Held(there)
    config = tunnel_config(**{**settings(held.upstream.url), "server": {"drain_seconds": 60}})
    try:
        with there.daemon(config, is_set_up=not is_any_port_allowed, is_started=False) as daemon:
            if is_any_port_allowed:
                public = (daemon.home / "ssh" / "id_ed25519.pub").read_text().strip()
                there.net.relay.run("rm", "-f", "/etc/ssh/sshd_config.d/10-chatvault.conf")
                there.relay.allow_simply(public, options="restrict,port-forwarding")
                there.net.relay.run("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
            daemon.start()
            daemon.wait_for("up")
            yield daemon, held, config
    finally:
        held.go.set()
        held.upstream.close()
        there.net.relay.run("rm", "-f", "/etc/ssh/sshd_config.d/10-test.conf")


def _with_tunnel(config: Config, **tunnel: Any) -> Config:
    return {**config, "tunnel": {**config["tunnel"], **tunnel}}


def _sessions(there: World) -> int:
    """How many links sshd has with us."""
    return there.net.relay.run("ps", "-eo", "args").count("sshd: chatvault-relay\n")


def _listens(there: World, port: int) -> bool:
    return f":{port} " in there.net.relay.run("ss", "-Hltn")


@contextlib.contextmanager
def _asking(ask: Callable[[], bool]) -> Iterator[list[float]]:
    """Ask again and again; at the end, return the moments at which the answer was no."""
    is_over, refused = threading.Event(), list[float]()

    def work() -> None:
        while not is_over.wait(0.01):
            if not ask():
                refused.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield refused
    finally:
        is_over.set()
        thread.join()


def test_the_same_port_moves_to_a_new_link_and_the_answer_that_runs_ends_in_the_old_one(
    there: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with _home(there) as (daemon, held, config):
        secret = daemon.add_token()

        def is_local_port_served() -> bool:
            local = f"{daemon.url}/health"
            return there.net.home.call(lambda: httpx.get(local, verify=NO_TLS)).status_code == 200

        stream = Stream(there, secret)
        with _asking(is_local_port_served) as local, _asking(there.is_served) as outside:
            daemon.write_config(_with_tunnel(config, remote_bind="0.0.0.0"))
            answer = daemon.json("config", "reload")
            assert (answer["tunnel"], answer["changed"]) == ("replaced", ["tunnel.remote_bind"])
            assert answer["needs_restart"] == []
            until(lambda: daemon.tunnel()["reconnects"] == 1, seconds=30, what="a new link")
            there.wait_until_served()
        assert local == [], "the local port notices nothing"
        gap = max(outside) - min(outside) if outside else 0.0
        with capsys.disabled():
            print(f"\n    the public port was away for {gap:.2f} s", end="", flush=True)
        assert not stream.is_over
        assert _sessions(there) == 2

        held.go.set()

        heard = hear(stream.end())
        assert (heard.text, heard.is_done) == ("begun ended", True)
        until(lambda: _sessions(there) == 1, seconds=30, what="the old link's end")
        assert there.is_served()
        row = daemon.wait_for_rows(1)[0]
        assert (row["status"], row["via"], row["client_ip"]) == ("ok", "tunnel", "10.78.0.2")
        daemon.wait_for_log("the settings have the tunnel replaced")
        audit = daemon.query("SELECT kind, body FROM audit WHERE kind LIKE 'tunnel.%' ORDER BY seq")
        down = json.loads(audit[1]["body"])
        assert [each["kind"] for each in audit] == ["tunnel.up", "tunnel.down", "tunnel.up"]
        assert (down["state"], down["reason"]) == ("connecting", "the settings have changed")


def test_reloads_in_a_row_leave_the_answer_that_runs_alone(there: World) -> None:
    """The relay can end this user's other sessions, to free a port that a dead one holds: none of them is."""
    with _home(there) as (daemon, held, config):
        stream = Stream(there, daemon.add_token())
        for bind in ("0.0.0.0", "*", "0.0.0.0", "*"):
            daemon.write_config(_with_tunnel(config, remote_bind=bind))
            assert daemon.tell("/v1/reload")["tunnel"] == "replaced"
        there.wait_until_served()
        until(lambda: daemon.tunnel()["state"] == "up", seconds=30, what="up")
        assert not stream.is_over
        held.go.set()
        assert hear(stream.end()).is_done
        until(lambda: _sessions(there) == 1, seconds=30, what="the old links' end")
        assert there.is_served()


@pytest.mark.parametrize("is_by_settings", [True, False])
def test_who_is_cut_with_the_old_link_hears_so_and_the_ledger_says_by_whom(
    there: World, is_by_settings: bool
) -> None:
    with _home(there) as (daemon, _, config):
        stream = Stream(there, daemon.add_token())
        if is_by_settings:
            moved = _with_tunnel(config, remote_bind="0.0.0.0")
            daemon.write_config({**moved, "server": {**config["server"], "drain_seconds": 1}})
            assert daemon.tell("/v1/reload")["tunnel"] == "replaced"
        else:
            assert daemon.tell("/v1/tunnel/down")["state"] == "off"
        last = stream.end().rstrip().rpartition(b"\n")[2]
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert (error["code"], "tunnel" in error["message"]) == ("stopping", True)
        row = daemon.wait_for_rows(1)[0]
        said = (row["status"], row["error_code"], row["http_status"], row["via"])
        assert said == ("cancelled", "stopping", 200, "tunnel")
        daemon.wait_for_log("the old link ends, and cuts 1 answer")


def test_another_port_is_listened_on_and_looked_at_from_outside(there: World) -> None:
    with _home(there, is_any_port_allowed=True) as (daemon, held, config):
        secret = daemon.add_token()
        stream = Stream(there, secret)
        moved = _with_tunnel(config, remote_port=4003)
        daemon.write_config(
            {**moved, "server": {**config["server"], "public_url": f"http://{PUBLIC_HOST}:4003"}}
        )
        assert daemon.json("config", "reload")["tunnel"] == "replaced"
        until(lambda: daemon.tunnel()["reconnects"] == 1, seconds=30, what="a new link")
        assert not _listens(there, 4000)

        other = Stream(there, secret, port=4003)
        held.go.set()
        assert [hear(each.end()).text for each in (stream, other)] == ["begun ended"] * 2
        until(lambda: daemon.tunnel()["outside"] is not None, seconds=30, what="a look from outside")
        outside = daemon.tunnel()["outside"]
        assert (outside["ok"], outside["url"]) == (True, f"http://{PUBLIC_HOST}:4003"), outside


def test_a_dead_session_on_another_port_is_ended_once_the_answer_that_runs_has(
    there: World,
) -> None:
    with _home(there) as (daemon, held, config):
        relay = there.net.relay
        both = 's/permitlisten="4000"/permitlisten="4000",permitlisten="4003"/; s/PermitListen 4000/& 4003/'
        for file in ("chatvault_authorized_keys", "sshd_config.d/10-chatvault.conf"):
            relay.run("sed", "-i", both, f"/etc/ssh/{file}")
        relay.run("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
        there.relay.wait_for_port(22)
        stream = Stream(there, daemon.add_token())
        ssh = ["ssh", "-N", "-i", str(daemon.home / "ssh" / "id_ed25519"), "-o", "StrictHostKeyChecking=no"]
        ssh += ["-o", "UserKnownHostsFile=/dev/null", "-R", "*:4003:192.0.2.1:9"]
        dead = there.net.home.popen(*ssh, f"chatvault-relay@{RELAY_HOST}")
        try:
            until(lambda: _listens(there, 4003), seconds=30, what="a session on the new port")
            # It holds the port and answers nobody, as one whose network is gone.
            dead.send_signal(signal.SIGSTOP)
            daemon.write_config(_with_tunnel(config, remote_port=4003))
            assert daemon.tell("/v1/reload")["tunnel"] == "replaced"
            daemon.wait_for("backoff")
            assert "once the answers" in daemon.tunnel()["hint"]
            assert not stream.is_over
            held.go.set()
            assert hear(stream.end()).is_done
            daemon.wait_for("up")
        finally:
            dead.kill()
            dead.wait(10)
        assert _listens(there, 4003)


def test_what_is_wrong_or_the_same_leaves_the_link_and_people_keep_their_word(there: World) -> None:
    with _home(there, is_any_port_allowed=True) as (daemon, held, config):
        stream = Stream(there, daemon.add_token())
        for wrong, why in (
            (_with_tunnel(config, host="10.79.0.77"), "no host key of 10.79.0.77 is pinned"),
            (_with_tunnel(config, remote_port=70_000), "must be 1 to 65535"),
            (_with_tunnel(config, jump=["nobody"]), "is not USER@HOST"),
        ):
            daemon.write_config({**wrong, "models": {"mine": {"routes": ["echo/echo"]}}})
            done = daemon.run("config", "reload")
            assert (done.returncode, why in done.stderr) == (2, True), done.stderr
        daemon.write_config({**config, "models": {"mine": {"routes": ["echo/echo"]}}})
        assert daemon.json("config", "reload")["changed"] == ["models.mine"]
        assert (daemon.tunnel()["state"], daemon.tunnel()["reconnects"]) == ("up", 0)
        held.go.set()
        assert hear(stream.end()).is_done

        assert daemon.json("tunnel", "down")["state"] == "off"
        daemon.write_config(_with_tunnel(config, remote_port=4003))
        assert "tunnel" not in daemon.json("config", "reload")
        assert daemon.tunnel()["state"] == "off"
        assert daemon.json("tunnel", "up")["state"] == "up"
        assert _listens(there, 4003)


def test_a_hangup_closes_and_opens_it(there: World) -> None:
    with _home(there) as (daemon, held, config):
        stream = Stream(there, daemon.add_token())
        pid = int(daemon.ask("/v1/status")["pid"])
        daemon.write_config(_with_tunnel(config, enabled=False))
        os.kill(pid, signal.SIGHUP)
        daemon.wait_for("off")
        assert not _listens(there, 4000)
        held.go.set()
        assert hear(stream.end()).is_done, "closed by the settings, its answers end first"
        until(lambda: _sessions(there) == 0, seconds=30, what="the old link's end")
        daemon.write_config(config)
        os.kill(pid, signal.SIGHUP)
        daemon.wait_for("up")
        there.wait_until_served()
