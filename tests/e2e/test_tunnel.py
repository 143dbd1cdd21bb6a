"""The way from a device through the relay to a model at home, with a real sshd between them."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.capture import captured
from tests.support.certificates import Authority
from tests.support.home import PUBLIC_HOST, PUBLIC_HOST_V6, RELAY_HOST, HomeDaemon, tunnel_config
from tests.support.namespaces import needs_root
from tests.support.openai_shape import UPSTREAM_KEY
from tests.support.tunnel_world import World, until, world

pytestmark = [needs_root, pytest.mark.seconds(180)]
_PROMPT = "the words that only home may read"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("tunnel")) as made:
        yield made


def _ask(
    there: World, secret: str, *, host: str = PUBLIC_HOST, context: ssl.SSLContext | None = None
) -> list[str]:
    """Ask the echo from the device, streamed; return the pieces of the answer."""

    def ask() -> list[str]:
        where = f"[{host}]" if ":" in host else host
        url = f"{'http' if context is None else 'https'}://{where}:4000/v1/chat/completions"
        body = {"model": "echo/echo", "messages": [{"role": "user", "content": _PROMPT}], "stream": True}
        pieces = []
        with (
            httpx.Client(verify=context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client,
            client.stream("POST", url, json=body, headers={"authorization": f"Bearer {secret}"}) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:])["choices"]
                    pieces += [each["delta"].get("content") or "" for each in choices]
        return pieces

    return there.net.device.call(ask)


def test_the_ledger_knows_the_device_and_the_relay_knows_nothing(there: World) -> None:
    with there.tls_daemon() as (daemon, context):
        secret = daemon.add_token()
        with captured(there.net.relay) as seen:
            assert "".join(_ask(there, secret, context=context)) == _PROMPT
            assert "".join(_ask(there, secret, host=PUBLIC_HOST_V6, context=context)) == _PROMPT
        rows = daemon.wait_for_rows(2)
        assert [(row["client_ip"], row["via"], row["status"]) for row in rows] == [
            ("10.78.0.2", "tunnel", "ok"),
            ("fd78::2", "tunnel", "ok"),
        ]
        assert seen.size > 2000
        for hidden in (_PROMPT, secret, "echo/echo", "authorization", UPSTREAM_KEY):
            assert not seen.shows(hidden)


def test_a_relay_reads_along_where_there_is_no_tls(there: World) -> None:
    """This is what the test before looks for, found where it is to be found."""
    with there.daemon() as daemon:
        secret = daemon.add_token()
        with captured(there.net.relay) as seen:
            assert "".join(_ask(there, secret)) == _PROMPT
        assert seen.shows(_PROMPT)
        assert seen.shows(secret)
        log = daemon.log
    assert "cross the internet in clear" in log


def test_the_address_can_not_be_forged(there: World) -> None:
    with there.daemon() as daemon:
        secret = daemon.add_token()
        there.get(
            "/v1/models",
            headers={
                "authorization": f"Bearer {secret}",
                "x-forwarded-for": "8.8.8.8",
                "forwarded": "for=8.8.8.8",
            },
        )
        answer = there.net.device.call(
            lambda: httpx.post(
                f"http://{PUBLIC_HOST}:4000/v1/chat/completions",
                json={"model": "echo/echo", "messages": [{"role": "user", "content": "hi"}]},
                headers={"authorization": f"Bearer {secret}", "x-forwarded-for": "8.8.8.8"},
            )
        )
        assert answer.status_code == 200
        assert daemon.wait_for_rows(1)[0]["client_ip"] == "10.78.0.2"


def test_a_host_on_the_way_is_passed(there: World) -> None:
    config = tunnel_config(tunnel={"jump": [f"chatvault-relay@{RELAY_HOST}"]})
    with there.daemon(config, is_set_up=False, is_started=False) as daemon:
        public = (daemon.home / "ssh" / "id_ed25519.pub").read_text().strip()
        there.net.relay.run("rm", "-f", "/etc/ssh/sshd_config.d/10-chatvault.conf")
        there.relay.allow_simply(public, options="restrict,port-forwarding")
        there.net.relay.run("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
        daemon.start()
        daemon.wait_for("up")
        assert there.get("/health").status_code == 200
        there.net.relay.run("rm", "-f", "/etc/ssh/sshd_config.d/10-test.conf")


def test_without_tls_it_stays_down_and_says_why(there: World) -> None:
    config = tunnel_config(tunnel={"allow_plain_http": False})
    with there.daemon(config, is_started=False) as daemon:
        daemon.start()
        daemon.wait_for("failed")
        assert "without TLS" in daemon.tunnel()["reason"]
        assert "tls self-signed" in daemon.tunnel()["hint"]
        assert ":4000 " not in there.net.relay.run("ss", "-Hltn")


def test_the_commands_say_what_is(there: World) -> None:
    with there.daemon() as daemon:
        found = daemon.json("tunnel", "status")
        assert {"schema", "state", "relay", "public_url", "since", "reconnects", "last_error"} <= set(found)
        assert {"retry_in_seconds", "connections", "bytes_in", "bytes_out"} <= set(found)
        assert (found["schema"], found["state"]) == (1, "up")
        assert found["relay"] == f"chatvault-relay@{RELAY_HOST}"
        assert daemon.json("tunnel", "down")["state"] == "off"
        assert ":4000 " not in there.net.relay.run("ss", "-Hltn")
        assert daemon.json("tunnel", "up")["state"] == "up"
        assert there.is_served()
        assert daemon.json("status")["tunnel"]["state"] == "up"
        assert daemon.tunnel()["bytes_out"] > 0
    kinds = [row["kind"] for row in daemon.query("SELECT kind FROM audit ORDER BY seq")]
    assert kinds.count("tunnel.up") == 2
    assert kinds.count("tunnel.down") == 2


def test_up_without_a_daemon_is_exit_code_3(there: World) -> None:
    with there.daemon(is_started=False) as daemon:
        done = daemon.run("tunnel", "up")
        assert done.returncode == 3
        assert "chatvault serve" in done.stderr


def test_the_port_closes_before_running_answers_end(there: World) -> None:
    with there.daemon() as daemon:
        assert there.is_served()
        daemon.stop()
        assert ":4000 " not in there.net.relay.run("ss", "-Hltn")


# --- the outside check


def _look(daemon: HomeDaemon) -> dict[str, Any]:
    return daemon.tell("/v1/tunnel/look")


def test_the_outside_check_meets_this_daemon(there: World) -> None:
    with there.tls_daemon() as (daemon, _):
        found = _look(daemon)
        assert found["ok"], found
        until(lambda: bool(daemon.tunnel()["outside"]), seconds=10, what="a first look by itself")
        assert daemon.wait_for_rows(0) == []


def test_the_outside_check_sees_a_port_bound_to_loopback(there: World) -> None:
    with there.daemon(is_started=False) as daemon:
        dropin = "/etc/ssh/sshd_config.d/10-chatvault.conf"
        there.net.relay.run("sed", "-i", "s/GatewayPorts .*/GatewayPorts no/", dropin)
        there.net.relay.run("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
        daemon.start()
        daemon.wait_for("up")
        found = _look(daemon)
        assert found["verdict"] == "refused"
        assert "GatewayPorts" in found["fix"]


def test_the_outside_check_sees_a_closed_firewall(there: World) -> None:
    with there.daemon() as daemon:
        there.net.home.run("ip", "route", "add", "blackhole", f"{PUBLIC_HOST}/32")
        try:
            found = _look(daemon)
        finally:
            there.net.home.run("ip", "route", "del", "blackhole", f"{PUBLIC_HOST}/32")
        assert found["verdict"] == "silent"
        assert "security group" in found["fix"]


def test_the_outside_check_sees_someone_in_the_middle(there: World, tmp_path_factory: Any) -> None:
    context = Authority(tmp_path_factory.mktemp("middle")).server(PUBLIC_HOST)
    with (
        _middle(there, 4001, context),
        there.tls_daemon(server={"public_url": f"https://{PUBLIC_HOST}:4001"}) as (daemon, _),
    ):
        found = _look(daemon)
        assert found["verdict"] == "intercepted", found


def test_the_outside_check_sees_a_stranger(there: World) -> None:
    with (
        _stranger(there, 4002),
        there.daemon(tunnel_config(server={"public_url": f"http://{PUBLIC_HOST}:4002"})) as daemon,
    ):
        found = _look(daemon)
        assert found["verdict"] == "stranger"


@contextlib.contextmanager
def _serving(there: World, port: int, serve: Any) -> Iterator[None]:
    """Serve each connection to a port of the relay by `serve`."""
    listener = there.net.relay.call(lambda: socket.create_server(("0.0.0.0", port)))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with contextlib.suppress(OSError), connection:
                    there.net.relay.call(lambda connection=connection: serve(connection))

    thread = threading.Thread(target=accept)
    thread.start()
    threads.append(thread)
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def _middle(there: World, port: int, context: ssl.SSLContext) -> Any:
    def relay_on(connection: socket.socket) -> None:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(connection, server_side=True) as inside:
            question = inside.recv(65_536)
            with trusting.wrap_socket(socket.create_connection(("127.0.0.1", 4000))) as onward:
                onward.sendall(question)
                while piece := onward.recv(65_536):
                    inside.sendall(piece)

    return _serving(there, port, relay_on)


def _stranger(there: World, port: int) -> Any:
    def answer(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nwelcome")

    return _serving(there, port, answer)
