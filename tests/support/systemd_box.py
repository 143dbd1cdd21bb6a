"""A machine of the test's own, with a real systemd and ChatVault installed in /opt."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("systemd-box")
_SYSTEM_PYTHON = "/usr/bin/python3"
VENV = "/opt/chatvault/venv"
PROGRAM = f"{VENV}/bin/chatvault"
_SITE = f"{VENV}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
# The program as pip would install it: an environment of the system's Python, and the packages of the tests.
_INSTALL = f"""
set -e
{_SYSTEM_PYTHON} -m venv --without-pip {VENV}
cp -r /opt/chatvault/source/chatvault {_SITE}/chatvault
cp -r /opt/chatvault/source/systemd {_SITE}/chatvault/units
echo /opt/chatvault/packages > {_SITE}/packages.pth
echo '#!{VENV}/bin/python' >{PROGRAM}
echo 'import sys; from chatvault.__main__ import main; sys.exit(main())' >>{PROGRAM}
chmod 755 {PROGRAM}
{VENV}/bin/python -m compileall -q {_SITE}/chatvault
ln -sf {PROGRAM} /usr/local/bin/chatvault
"""


def why_not() -> str | None:
    """Return why no such machine can be had here, None where it can."""
    if os.geteuid() != 0:
        return "needs root"
    needed = ("/lib/systemd/systemd", "/usr/bin/dbus-daemon", "/usr/bin/nsenter", "/usr/bin/unshare")
    if not all(Path(each).exists() for each in needed) or shutil.which("ip") is None:
        return "needs systemd, dbus, util-linux and iproute2"
    found = subprocess.run(
        [_SYSTEM_PYTHON, "-c", "import sys, venv; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.stdout.split() != [str(each) for each in sys.version_info[:2]]:
        return "needs the system's own Python to be as old as the tests'"
    return None


class Box:
    """The machine. `state` is a folder for its files; `is_bare` leaves ChatVault out of it.

    `binds` are more folders to see inside, each `SOURCE:TARGET`.
    """

    def __init__(self, state: Path, *, is_bare: bool = False, binds: Sequence[str] = ()) -> None:
        self._state = state
        self._is_bare = is_bare
        self._binds = binds

    def start(self) -> Self:
        """Boot it, and install ChatVault."""
        packages = sysconfig.get_paths()["purelib"]
        ours = (f"{packages}:/opt/chatvault/packages", f"{_ROOT}:/opt/chatvault/source")
        self._script("start", *self._binds, *(() if self._is_bare else ours))
        if not self._is_bare:
            self.sh(_INSTALL)
        return self

    def stop(self) -> None:
        """End it, with everything in it."""
        if (self._state / "pid").exists():
            subprocess.run([_SCRIPT, "stop"], env=self._env, check=False, capture_output=True)

    @property
    def _env(self) -> dict[str, str]:
        return {"STATE": str(self._state), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

    def _script(self, *args: str) -> None:
        subprocess.run([_SCRIPT, *args], env=self._env, check=True, stdin=subprocess.DEVNULL, timeout=60)

    def run(
        self,
        *command: str,
        user: str | None = None,
        stdin: str = "",
        env: dict[str, str] | None = None,
        seconds: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root or as `user`."""
        variables = [f"{name}={value}" for name, value in {"LANG": "C.UTF-8", **(env or {})}.items()]
        prefix = ["runuser", "-u", user, "--"] if user else []
        return subprocess.run(
            [_SCRIPT, "run", *prefix, "env", *variables, *command],
            env={**self._env, "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def ok(self, *command: str, **more: Any) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.run(*command, **more)
        assert done.returncode == 0, (
            f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        )
        return done.stdout

    def sh(self, script: str, **more: Any) -> str:
        """Run a shell script that must succeed."""
        return self.ok("bash", "-euc", script, **more)

    def json(self, *command: str, **more: Any) -> Any:
        """Run a command of ChatVault's with --json, and return what it printed."""
        return json.loads(self.ok(PROGRAM, *command, "--json", **more))

    def write(self, path: str, text: str, *, mode: str = "600", owner: str = "root:root") -> None:
        """Write a file inside."""
        self.ok(
            "bash",
            "-euc",
            'mkdir -p "$(dirname "$1")"; umask 077; cat >"$1"; chown "$2" "$1"; chmod "$3" "$1"',
            "write",
            path,
            owner,
            mode,
            stdin=text,
        )

    def settle_in(self, config: str, *, unit_lines: str = "") -> str:
        """Install the service with these settings, start it, and return an access token."""
        self.ok(PROGRAM, "init", "--yes", "--system")
        self.configure(config)
        self.ok(PROGRAM, "systemd", "install")
        if unit_lines:
            self.drop_in(unit_lines)
        self.ok("systemctl", "enable", "--now", "chatvault.socket", "chatvault.service")
        secret: str = self.json("tokens", "add", "laptop")["secret"]
        return secret

    def configure(self, config: str) -> None:
        """Write the settings."""
        self.write("/etc/chatvault/config.yaml", config, owner="chatvault:chatvault")

    def drop_in(self, lines: str, unit: str = "chatvault.service", name: str = "test") -> None:
        """Add lines to a unit."""
        self.write(f"/etc/systemd/system/{unit}.d/{name}.conf", lines, mode="644")
        self.ok("systemctl", "daemon-reload")

    def ask(self, secret: str, model: str = "echo/echo", *, seconds: float = 30) -> tuple[int, str]:
        """Send one chat request from inside; return its status and body."""
        messages = [{"role": "user", "content": "one two"}]
        body = {"model": model, "max_tokens": 8, "messages": messages}
        done = self.run(
            *("curl", "-s", "-m", str(seconds), "-w", "\n%{http_code}"),
            *("-H", f"Authorization: Bearer {secret}", "-H", "Content-Type: application/json"),
            *("-d", json.dumps(body)),
            "http://127.0.0.1:4000/v1/chat/completions",
        )
        answer, _, status = done.stdout.rpartition("\n")
        return int(status or 0), answer

    def query(self, sql: str) -> list[Any]:
        """Read from the database."""
        code = (
            "import json, sqlite3, sys\n"
            "found = sqlite3.connect('file:/var/lib/chatvault/chatvault.db?mode=ro', uri=True, timeout=10)"
            ".execute(sys.argv[1]).fetchall()\n"
            "print(json.dumps(found))"
        )
        found: list[Any] = json.loads(self.python(code, sql))
        return found

    def journal(self, unit: str = "chatvault") -> str:
        """Return what a unit has written to the journal."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager").stdout

    def show(self, name: str, unit: str = "chatvault.service") -> str:
        """Return one property of a unit."""
        return self.ok("systemctl", "show", unit, "--property", name, "--value").strip()

    def wait(self, what: str, is_so: Callable[[], bool], *, seconds: float = 60) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not so after {seconds} s\n{self.journal()}"
            time.sleep(0.1)

    def python(self, code: str, *args: str, user: str | None = None, seconds: float = 120) -> str:
        """Run Python inside, with ChatVault's packages, and return what it printed."""
        return self.ok(f"{VENV}/bin/python", "-c", code, *args, user=user, seconds=seconds)

    def support(self, module: str, *args: str) -> tuple[str, ...]:
        """Return the command that runs a module of `tests.support` inside."""
        variables = ("PYTHONPATH=/opt/chatvault/source", "PYTHONDONTWRITEBYTECODE=1")
        return ("env", *variables, f"{VENV}/bin/python", "-m", f"tests.support.{module}", *args)

    @contextmanager
    def background(self, *command: str) -> Iterator["subprocess.Popen[str]"]:
        """Run a command inside meanwhile; at the end it is gone."""
        process = subprocess.Popen(
            [_SCRIPT, "run", *command],
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
