"""The installed program as a process in a home of its own: started, asked, stopped, killed, restarted."""

import json
import os
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import yaml

from tests.support.clients import NO_TLS
from tests.support.ports import free_port

Row = dict[str, Any]
_COMMAND = (sys.executable, "-X", "faulthandler", "-m", "chatvault")
# What no log may hold, whatever went wrong.
_SIGNS_OF_A_DEFECT = (
    "Traceback (most recent call last)",
    "was never awaited",
    "was never retrieved",
    "Exception ignored in",
    "ResourceWarning",
)


class Daemon:
    """`chatvault serve` with the settings `config`, all of its files under `home`.

    `env` goes into its environment, which is otherwise bare: what this machine has set changes nothing. `tls`
    is how a client trusts it, where the settings make it HTTPS.
    """

    def __init__(
        self,
        home: Path,
        config: Mapping[str, Any] | str | None = None,
        *,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.tls = tls
        self.home = home
        self.port = free_port()
        self.env = {
            "CHATVAULT_HOME": str(home),
            "HOME": str(home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **({"PYTHONPATH": os.path.abspath(path)} if (path := os.environ.get("PYTHONPATH")) else {}),
            **(env or {}),
        }
        self.secrets = list(secrets)
        self.process: subprocess.Popen[bytes] | None = None
        self.log_path = home / "serve.log"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if config is not None:
            self.write_config(config)

    def write_config(self, config: Mapping[str, Any] | str) -> None:
        """Write the settings; a mapping may leave out what has a default."""
        text = config if isinstance(config, str) else yaml.safe_dump(dict(config), sort_keys=False)
        path = self.home / "config.yaml"
        path.touch(0o600)
        path.write_text(text)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that the daemon has said so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def start(self, *args: str, seconds: float = 30.0) -> Self:
        """Start, and return once `/health` answers."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*_COMMAND, "serve", "--port", str(self.port), *args],
                cwd=self.home,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, f"serve exited with {self.process.returncode}:\n{self.log}"
            try:
                if httpx.get(f"{self.url}/health", timeout=2, verify=self.tls or NO_TLS).status_code == 200:
                    return self
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                os.killpg(self.process.pid, signal.SIGABRT)
                self.process.wait(10)
                raise AssertionError(f"no answer on /health after {seconds} s:\n{self.log}")
            time.sleep(0.02)

    def stop(self, *, seconds: float = 30.0) -> None:
        """End it politely, and look through what it said."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGABRT)
            self.process.wait(10)
            raise AssertionError(f"still there {seconds} s after SIGTERM:\n{self.log}") from None
        self.process = None
        assert code == 0, f"serve exited with {code}:\n{self.log}"
        self.check_log()

    def kill(self) -> None:
        """End it as a power cut would: at once, children too."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    def check_log(self) -> None:
        """Fail if the log shows a defect or a secret."""
        log = self.log
        for sign in _SIGNS_OF_A_DEFECT:
            assert sign not in log, f"the log holds {sign!r}:\n{log}"
        for secret in self.secrets:
            assert secret not in log, f"a secret stands in the log:\n{log}"

    def run(
        self, *args: str, stdin: str | None = None, seconds: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a command beside the daemon."""
        return subprocess.run(
            [*_COMMAND, *args],
            cwd=self.home,
            env=self.env,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=seconds,
        )

    def json(self, *args: str, code: int = 0) -> Any:
        """Run a command with `--json`, expect its exit code, and return what it printed."""
        done = self.run(*args, "--json")
        assert done.returncode == code, f"{args} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def add_token(self, name: str = "laptop", *args: str) -> str:
        """Make an access token and return its secret."""
        secret: str = self.json("tokens", "add", name, *args)["secret"]
        self.secrets.append(secret)
        return secret

    def query(self, sql: str, *values: Any) -> list[Row]:
        """Read from the database, beside whoever writes to it."""
        connection = sqlite3.connect(f"file:{self.home / 'chatvault.db'}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]
        finally:
            connection.close()

    def ledger(self) -> list[Row]:
        """Every row of the ledger, oldest first."""
        return self.query("SELECT * FROM ledger ORDER BY id")

    def row(self, request_id: str, *, seconds: float = 20.0) -> Row:
        """Wait for the ledger row of a request."""
        deadline = time.monotonic() + seconds
        while not (rows := self.query("SELECT * FROM ledger WHERE id = ?", request_id)):
            assert time.monotonic() < deadline, f"no row {request_id} after {seconds} s:\n{self.log}"
            time.sleep(0.01)
        return rows[0]

    def wait_for_rows(self, count: int, *, seconds: float = 20.0) -> list[Row]:
        """Wait until the ledger has `count` rows and no hold is open, and return the rows."""
        deadline = time.monotonic() + seconds
        while True:
            rows, holds = self.ledger(), self.query("SELECT * FROM hold")
            if len(rows) == count and not holds:
                return rows
            assert time.monotonic() < deadline, f"{len(rows)} rows, {len(holds)} holds:\n{self.log}"
            time.sleep(0.01)

    def wait_for_log(self, text: str, *, seconds: float = 20.0) -> None:
        """Wait until the daemon has said `text`: a thread of its own writes what is logged."""
        deadline = time.monotonic() + seconds
        while text not in self.log:
            assert time.monotonic() < deadline, f"not said within {seconds} s: {text!r}\n{self.log}"
            time.sleep(0.01)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is None:
            return
        if kind is None:
            self.stop()
        else:
            sys.stderr.write(f"--- the daemon said ---\n{self.log}\n")
            self.kill()


Serve = Callable[..., Daemon]
"""A function that starts a daemon with the settings it is given, and ends it with the test."""
