"""What a service manager and a person wait for, and what an idle daemon keeps of the memory."""

import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

from chatvault.tunnel import keys, known_hosts
from tests.bench.load import Target
from tests.bench.mock import mock_provider
from tests.bench.options import Options
from tests.bench.process import REPOSITORY, Process, free_port, running
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.vault import command, environment, settings, wait_for_health, write_settings

MODELS = ("mock-c10-d0-t0",)
READY_SECONDS = 30.0
# By then the import of litellm is over, and with it what it adds to the memory.
LITELLM_SECONDS = 10.0

PASS, BARE = "python -c pass", "uvicorn alone, one route"
LEAN, AGAIN, HEAVY = "ChatVault, new home", "ChatVault, again", "ChatVault, new home, litellm provider"
STATUS, STATUS_JSON = "chatvault status", "chatvault status --json"


@dataclass(slots=True)
class Row:
    """What one line of the table is made of."""

    until: str
    times_ms: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)

    def cells(self, name: str, bare: "Row") -> Sequence[Cell]:
        """Return the line, with its ratio to the bare server's."""
        middle = statistics.median(self.times_ms)
        memory = statistics.median(self.memory_mb) if self.memory_mb else None
        ratio = middle / statistics.median(bare.times_ms)
        return (name, self.until, middle, min(self.times_ms), max(self.times_ms), ratio, memory)


def run(options: Options, report: Report) -> None:
    """Measure starts to READY=1, `status`, and idle memory with the tunnel and the control socket up."""
    rounds = 2 if options.is_quick else 5
    found = {
        PASS: Row("its end"),
        BARE: Row("the first 200"),
        LEAN: Row("READY=1"),
        AGAIN: Row("READY=1"),
        HEAVY: Row("READY=1"),
        STATUS: Row("its end"),
        STATUS_JSON: Row("its end"),
    }
    loaded: list[float] = []
    with mock_provider(MODELS, options=options) as mock, manager(options.folder) as news:
        for number in range(rounds):
            talk(f"service: round {number + 1} of {rounds}")
            interpreter(found[PASS], options)
            bare(found[BARE], options)
            with tunnelled(f"service-{number}", mock=mock, options=options) as home:
                for name in (LEAN, AGAIN):
                    with started(found[name], home, news, options=options) as process:
                        wait_for_tunnel(home)
                        # The start's own garbage, and the first round of what runs beside the requests.
                        time.sleep(3)
                        found[name].memory_mb.append(process.memory_mb())
                        for asked, words in ((STATUS, ("status",)), (STATUS_JSON, ("status", "--json"))):
                            timed(found[asked], command(home, *words), home)
            heavy(found[HEAVY], loaded, f"service-heavy-{number}", mock=mock, news=news, options=options)
    show(found, loaded, rounds=rounds, report=report)


def show(found: dict[str, Row], loaded: list[float], *, rounds: int, report: Report) -> None:
    """Show the table, and hold it to the goals."""
    columns = ("from a process's start", "to", "ms", "least", "most", "× bare", "resident MB")
    rows = [row.cells(name, found[BARE]) for name, row in found.items()]
    note = (
        "ChatVault's memory with tunnel and control socket up, 3 s after READY=1; with a litellm provider\n"
        f"at READY=1: {LITELLM_SECONDS:g} s later, the import done, {statistics.median(loaded):.0f} MB."
    )
    report.show(Table(f"The service, medians of {rounds} rounds", columns, rows, note))
    middle = {name: statistics.median(row.times_ms) for name, row in found.items()}
    memory = {name: statistics.median(found[name].memory_mb) for name in (LEAN, HEAVY)}
    report.hold(
        Goal("READY=1 after the start, new home", middle[LEAN], 600, "ms"),
        Goal("READY=1 after the start, litellm provider", middle[HEAVY], 600, "ms"),
        # An import that was over by then would show as memory: it must go on behind the requests.
        Goal(
            "memory at READY=1 of that once litellm is there",
            memory[HEAVY] / statistics.median(loaded),
            0.6,
            "×",
        ),
        Goal("chatvault status", middle[STATUS], 150, "ms"),
        Goal("idle memory, tunnel up, no litellm provider", memory[LEAN], 80, "MB"),
    )


def interpreter(row: Row, options: Options) -> None:
    """Time an interpreter that does nothing, and weigh one that waits."""
    timed(row, [sys.executable, "-c", "pass"], options.folder)
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    with running(waits, cpu=options.server_cpu, log=options.folder / "waits.log") as process:
        time.sleep(0.3)
        row.memory_mb.append(process.memory_mb())


def bare(row: Row, options: Options) -> None:
    """Time a server of one route to its first 200, and weigh it."""
    port = free_port()
    start = time.monotonic()
    words = [sys.executable, "-m", "tests.bench.bare", str(port)]
    with running(words, cpu=options.server_cpu, log=options.folder / "bare.log") as process:
        row.times_ms.append(wait_for_health(process, port, started=start) * 1e3)
        time.sleep(1)
        row.memory_mb.append(process.memory_mb())


def heavy(
    row: Row, loaded: list[float], name: str, *, mock: Target, news: socket.socket, options: Options
) -> None:
    """Start with a provider that litellm translates for; weigh at READY=1, and when it has been imported."""
    home = options.folder / name
    write_settings(home, settings(free_port(), mock=mock, models=MODELS, providers=("paid", "anthropic")))
    with started(row, home, news, options=options) as process:
        row.memory_mb.append(process.memory_mb())
        time.sleep(LITELLM_SECONDS)
        loaded.append(process.memory_mb())


def timed(row: Row, words: Sequence[str], home: Path) -> None:
    """Time a command from its start to its end. Raises CalledProcessError where it fails."""
    start = time.perf_counter()
    subprocess.run(words, cwd=REPOSITORY, env=environment(home), stdout=subprocess.DEVNULL, check=True)
    row.times_ms.append((time.perf_counter() - start) * 1e3)


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[socket.socket]:
    """Listen as a service manager does: the socket's name is what goes into NOTIFY_SOCKET."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as news:
        news.bind(str(path))
        yield news
    path.unlink()


@contextlib.contextmanager
def started(row: Row, home: Path, news: socket.socket, *, options: Options) -> Iterator[Process]:
    """Run a daemon, its start timed to the datagram that says READY=1, and end it on the way out."""
    forget(news)
    environ = {**environment(home), "NOTIFY_SOCKET": str(news.getsockname())}
    log = options.folder / f"{home.name}.log"
    start = time.monotonic()
    with running(command(home, "serve"), cpu=options.server_cpu, log=log, environ=environ) as process:
        row.times_ms.append((ready(news, process, until=start + READY_SECONDS) - start) * 1e3)
        yield process


def ready(news: socket.socket, process: Process, *, until: float) -> float:
    """Return when (time.monotonic) the daemon said READY=1. Raises RuntimeError where it doesn't."""
    news.settimeout(0.1)
    while time.monotonic() < until and process.is_running():
        with contextlib.suppress(TimeoutError):
            said = news.recv(4096)
            if b"READY=1" in said.split(b"\n"):
                return time.monotonic()
    raise RuntimeError(f"no READY=1:\n{process.log_end()}")


def forget(news: socket.socket) -> None:
    """Read away what the daemon before has said."""
    news.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            news.recv(4096)


@contextlib.contextmanager
def tunnelled(name: str, *, mock: Target, options: Options) -> Iterator[Path]:
    """Make a home whose settings have a tunnel to a relay on loopback, and run the relay meanwhile."""
    home = options.folder / name
    allowed, host_key = options.folder / f"{name}.allowed", options.folder / f"{name}.key"
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(host_key)
    home.mkdir(mode=0o700)
    allowed.write_text(f"{keys.ensure_key(home / 'ssh')}\n")
    log = options.folder / f"{name}-relay.log"
    words = [sys.executable, "-m", "tests.bench.service_relay", allowed, host_key]
    with running(words, cpu=options.load_cpu, log=log) as relay:
        wait_until(
            lambda: "\n" in log.read_text(), what=lambda: f"the relay does not listen:\n{relay.log_end()}"
        )
        port = int(log.read_text().split()[0])
        known_hosts.pin(home / "ssh", "127.0.0.1", port, [key.export_public_key("openssh").decode()])
        values = settings(free_port(), mock=mock, models=MODELS, providers=("paid", "home", "ollama"))
        tunnel = {"host": "127.0.0.1", "port": port, "remote_bind": "127.0.0.1", "remote_port": free_port()}
        # Nothing but loopback is crossed here.
        write_settings(home, {**values, "tunnel": {"enabled": True, "allow_plain_http": True, **tunnel}})
        yield home


def wait_for_tunnel(home: Path) -> None:
    """Return once the daemon's tunnel is up."""

    def asked() -> str:
        words = command(home, "tunnel", "status", "--json")
        done = subprocess.run(words, cwd=REPOSITORY, env=environment(home), capture_output=True, check=False)
        return done.stdout.decode()

    wait_until(lambda: json.loads(asked() or "{}").get("state") == "up", what=lambda: f"no tunnel: {asked()}")


def wait_until(is_so: Callable[[], bool], *, what: Callable[[], str]) -> None:
    """Wait until something is so. Raises RuntimeError with `what` otherwise."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(what())
        time.sleep(0.05)
