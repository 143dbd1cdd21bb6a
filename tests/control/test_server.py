"""The daemon's side of the control socket."""

import asyncio
import http.client
import socket
import stat
import threading
from pathlib import Path

from chatvault.control.client import ControlClient
from chatvault.control.server import bind_control_socket
from chatvault.core.chat import JsonObject
from tests.support.control import serving


async def slow(body: JsonObject) -> JsonObject:
    await asyncio.sleep(0.2)
    return {"done": True}


async def echo(body: JsonObject) -> JsonObject:
    return {"got": dict(body)}


ROUTES = {("POST", "/v1/slow"): slow, ("POST", "/v1/echo"): echo}


def raw(path: Path, request: bytes) -> http.client.HTTPResponse:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(5)
    connection.connect(str(path))
    connection.sendall(request)
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    connection.close()
    return response


def test_a_body_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "s", ROUTES):
        for body in (b"{", b"[]", b"7"):
            head = f"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
            assert raw(tmp_path / "s", head.encode() + body).status == 400


def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    head = b"POST /v1/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n"
    with serving(tmp_path / "s", ROUTES):
        assert raw(tmp_path / "s", head + b"x" * 1_000_001).status == 400


def test_the_socket_is_private_from_its_birth_and_gone_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    listener = bind_control_socket(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()

    with serving(path, ROUTES):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_an_answer_under_way_is_finished_before_the_end(tmp_path: Path) -> None:
    answers = []
    with serving(tmp_path / "s", ROUTES) as ask_to_stop:
        caller = threading.Thread(
            target=lambda: answers.append(ControlClient(tmp_path / "s").post("/v1/slow"))
        )
        caller.start()
        threading.Event().wait(0.05)
        ask_to_stop()
        caller.join(5)

    assert answers == [{"done": True}]
