"""Asks the running daemon over its control socket; a failed call is diagnosed."""

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from chatvault.control.address import fitting_address
from chatvault.core.json_types import JsonObject
from chatvault.errors import ChatVaultError, DaemonNotRunning, NotPermitted

_START = "chatvault serve"


class ControlClient:
    """Calls the daemon at `socket_path`, each call one connection; `timeout` is in seconds.

    `start` is what starts it where it does not run.
    """

    def __init__(self, socket_path: Path, *, timeout: float = 30.0, start: str = _START) -> None:
        self._path = socket_path
        self._timeout = timeout
        self._start = start

    def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject:
        """Ask for `path`. Raises DaemonNotRunning, NotPermitted, or the error the daemon answers with."""
        return self._call("GET", f"{path}?{urlencode(query)}" if query else path, None)

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        """Have the daemon do something. Raises as `get` does."""
        return self._call("POST", path, json.dumps(body or {}).encode())

    def is_running(self) -> bool:
        """Whether a daemon answers there. Raises NotPermitted where that can't be known."""
        try:
            self._connect().close()
        except DaemonNotRunning:
            return False
        return True

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            with fitting_address(self._path) as address:
                connection.connect(address)
        except OSError as exc:
            connection.close()
            raise self._diagnosis(exc) from exc
        return connection

    def _diagnosis(self, exc: OSError) -> ChatVaultError:
        if isinstance(exc, FileNotFoundError | NotADirectoryError):
            return DaemonNotRunning("the daemon is not running", hint=self._start)
        if isinstance(exc, ConnectionRefusedError):
            return DaemonNotRunning(
                "the daemon is not running: one that was killed left its socket behind", hint=self._start
            )
        if isinstance(exc, PermissionError):
            return NotPermitted(
                f"the daemon's socket {self._path} belongs to {_owner(self._path)}",
                hint="use sudo; members of the group chatvault may read (sudo usermod -aG chatvault YOU)",
            )
        if isinstance(exc, TimeoutError | BlockingIOError):
            return ChatVaultError("the daemon does not answer", hint="chatvault doctor")
        return ChatVaultError(f"the daemon can't be asked: {exc.strerror or exc}", hint="chatvault doctor")

    def _call(self, method: str, path: str, body: bytes | None) -> JsonObject:
        connection = HTTPConnection("chatvault", timeout=self._timeout)
        connection.sock = self._connect()
        try:
            connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            response = connection.getresponse()
            data, status = response.read(), response.status
        except TimeoutError as exc:
            raise ChatVaultError("the daemon does not answer", hint="chatvault doctor") from exc
        except (OSError, HTTPException) as exc:
            raise ChatVaultError("the daemon hung up in the middle", hint="chatvault status") from exc
        finally:
            connection.close()
        return _read(data, status)


def _read(data: bytes, status: int) -> JsonObject:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ChatVaultError(f"the daemon answered with nonsense (status {status})", hint="look at its log")
    error = answer.get("error")
    if status >= 400:
        raise _error(error if isinstance(error, dict) else {}, status)
    return answer


def _error(error: Mapping[str, Any], status: int) -> ChatVaultError:
    hint = error.get("hint")
    found = ChatVaultError(
        str(error.get("message") or f"the daemon failed (status {status})"),
        hint=hint if isinstance(hint, str) else None,
    )
    code = error.get("exit_code")
    found.exit_code = code if isinstance(code, int) else 1
    return found


def _owner(path: Path) -> str:
    try:
        return path.owner()
    except (KeyError, OSError):
        return "another user"
