"""The control socket, from both its ends."""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from chatvault.control.client import ControlClient
from chatvault.control.server import Handler, bind_control_socket
from chatvault.core.chat import JsonObject
from chatvault.errors import ChatVaultError, ConfigError, DaemonNotRunning, NotPermitted
from tests.support.control import serving


async def echo(body: JsonObject) -> JsonObject:
    return {"got": dict(body)}


async def refuse(body: JsonObject) -> JsonObject:
    raise NotPermitted("not yours", hint="ask the owner")


async def reject(body: JsonObject) -> JsonObject:
    raise ConfigError("port: wrong", path="/c.yaml", line=3)


async def slow(body: JsonObject) -> JsonObject:
    await asyncio.sleep(0.2)
    return {"done": True}


ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "/v1/echo"): echo,
    ("POST", "/v1/echo"): echo,
    ("POST", "/v1/refuse"): refuse,
    ("POST", "/v1/reload"): reject,
    ("POST", "/v1/slow"): slow,
}


def test_a_call_and_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with serving(path, ROUTES):
        client = ControlClient(path)

        assert client.get("/v1/echo", {"a": "b c"}) == {"got": {"a": "b c"}}
        assert client.post("/v1/echo", {"n": [1, None]}) == {"got": {"n": [1, None]}}
        assert client.is_running()


def test_a_path_longer_than_the_kernel_takes_works_too(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120)
    folder.mkdir()
    with serving(folder / "control.sock", ROUTES):
        assert ControlClient(folder / "control.sock").get("/v1/echo") == {"got": {}}


@pytest.mark.parametrize(
    ("path", "message", "hint", "exit_code"),
    [
        ("/v1/refuse", "not yours", "ask the owner", 4),
        ("/v1/reload", "/c.yaml:3: port: wrong", None, 2),
        ("/v1/nothing", "the daemon does not know POST /v1/nothing", "restart the daemon", 2),
    ],
)
def test_an_error_comes_over_whole(
    tmp_path: Path, path: str, message: str, hint: str | None, exit_code: int
) -> None:
    with serving(tmp_path / "s", ROUTES), pytest.raises(ChatVaultError) as caught:
        ControlClient(tmp_path / "s").post(path)

    assert (caught.value.message, caught.value.exit_code) == (message, exit_code)
    assert hint is None or (caught.value.hint or "").startswith(hint)


def test_no_daemon_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(DaemonNotRunning) as caught:
        ControlClient(tmp_path / "none").get("/v1/status")

    assert (caught.value.hint, caught.value.exit_code) == ("chatvault serve", 3)


def test_a_socket_left_behind_is_told_apart_and_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind_control_socket(path).close()

    with pytest.raises(DaemonNotRunning, match="left its socket behind"):
        ControlClient(path).get("/v1/status")
    with serving(path, ROUTES):
        assert ControlClient(path).is_running()


def test_a_daemon_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()

        with pytest.raises(ChatVaultError, match="does not answer"):
            ControlClient(tmp_path / "s", timeout=0.1).get("/v1/status")


def test_an_answer_that_makes_no_sense_is_said(tmp_path: Path) -> None:
    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 500 X\r\ncontent-length: 4\r\n\r\noops")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with pytest.raises(ChatVaultError, match="nonsense"):
            ControlClient(tmp_path / "s").get("/v1/status")
        thread.join(5)
