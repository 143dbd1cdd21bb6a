"""ChatVault as a user runs it: a daemon process with a home, settings and an access token of its own."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.load import Target
from tests.bench.options import Options
from tests.bench.process import REPOSITORY, Process, free_port

PAID = {"input": 3, "output": 15}


@dataclass(frozen=True, slots=True)
class Vault:
    """A running daemon. `start_seconds` went by from its start to the first 200."""

    home: Path
    port: int
    process: Process
    token: str
    start_seconds: float

    def list_models(self) -> None:
        """Ask for the models: FastAPI answers that, and is imported when it is first asked."""
        url = f"http://127.0.0.1:{self.port}/v1/models"
        request = urllib.request.Request(url, headers={"authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            answer.read()

    def target(self, provider: str, *, name: str) -> Target:
        """Return one of its providers as a target."""
        return Target(name, self.port, self.process, token=self.token, prefix=f"{provider}/")


def settings(
    port: int, *, mock: Target, models: Sequence[str], providers: Sequence[str]
) -> dict[str, object]:
    """Return settings with these of the providers `paid`, `home`, `ollama`, `anthropic` and `deepseek`.

    All of them ask the mock. Paid models have a price, so that their holds survive a power cut.
    """
    origin = f"http://127.0.0.1:{mock.port}"
    known: dict[str, dict[str, object]] = {
        "paid": {"kind": "openai_compatible", "base_url": f"{origin}/v1", "api_key": "bench-key"},
        "home": {
            "kind": "openai_compatible",
            "base_url": f"{origin}/v1",
            "api_key": "bench-key",
            "local": True,
        },
        "ollama": {"kind": "ollama", "base_url": origin},
        "anthropic": {"kind": "anthropic", "base_url": origin, "api_key": "bench-key"},
        "deepseek": {"kind": "deepseek", "base_url": origin, "api_key": "bench-key"},
    }
    priced = [name for name in ("paid", "anthropic", "deepseek") if name in providers]
    overrides = [
        {"model": f"{name}/{model}", "per_mtok": PAID, "note": "benchmark"}
        for name in priced
        for model in models
    ]
    return {
        "server": {"host": "127.0.0.1", "port": port},
        "providers": {name: {**known[name], "max_concurrency": 4096} for name in providers},
        "prices": {"overrides": overrides},
    }


def environment(home: Path) -> dict[str, str]:
    """Return the environment of a ChatVault that lives in `home` alone, and whose modules are compiled."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CHATVAULT") and name != "PYTHONDONTWRITEBYTECODE"
    }
    path = os.pathsep.join(filter(None, (str(REPOSITORY), kept.get("PYTHONPATH", ""))))
    return {**kept, "CHATVAULT_HOME": str(home), "PYTHONPATH": path}


def command(home: Path, *arguments: str) -> list[str]:
    """Return a command of the program under test, with the settings in `home`."""
    return [sys.executable, "-m", "chatvault", "--config", str(home / "config.yaml"), *arguments]


def write_settings(home: Path, values: Mapping[str, object]) -> None:
    """Write settings into a new home. JSON is YAML too."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "config.yaml"
    path.write_text(json.dumps(values, indent=1))
    path.chmod(0o600)


@contextlib.contextmanager
def vault(
    name: str, *, mock: Target, models: Sequence[str], providers: Sequence[str], options: Options
) -> Iterator[Vault]:
    """Run a daemon on the server's core, and end it on the way out."""
    home = options.folder / name
    port = free_port()
    write_settings(home, settings(port, mock=mock, models=models, providers=providers))
    started = time.monotonic()
    process = Process(
        command(home, "serve"),
        cpu=options.server_cpu,
        log=options.folder / f"{name}.log",
        environ=environment(home),
    )
    try:
        seconds = wait_for_health(process, port, started=started)
        running = Vault(home, port, process, "", seconds)
        yield replace(running, token=add_token(home))
    finally:
        process.stop()


def wait_for_health(process: Process, port: int, *, started: float, seconds: float = 30.0) -> float:
    """Return how long after `started` (time.monotonic) `/health` first answered 200."""
    while time.monotonic() < started + seconds and process.is_running():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return time.monotonic() - started
        time.sleep(0.002)
    raise RuntimeError(f"{' '.join(process.command)} is not up after {seconds} s:\n{process.log_end()}")


def add_token(home: Path) -> str:
    """Make an access token as a user does, and return its secret."""
    done = subprocess.run(
        command(home, "tokens", "add", "bench", "--json"),
        env=environment(home),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"tokens add failed with {done.returncode}: {done.stderr}")
    secret: str = json.loads(done.stdout)["secret"]
    return secret
