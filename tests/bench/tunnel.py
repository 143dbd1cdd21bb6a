"""The tunnel beside `ssh -R` and asyncssh's own forward: requests, and a token's delay beside downloads."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.compiled import program
from tests.bench.options import Options
from tests.bench.process import REPOSITORY, cpu_seconds
from tests.bench.report import Cell, Goal, Report, Table, talk
from tests.bench.tunnel_child import PUBLIC_HOST, RELAY_HOST
from tests.support.tunnel_world import World, world

OURS, OPENSSH, ASYNCSSH = "ChatVault", "ssh -R", "asyncssh's forward"
PORTS = {OURS: 4001, OPENSSH: 4002, ASYNCSSH: 4003}
_MODES = {OURS: "ours", OPENSSH: "port", ASYNCSSH: "asyncssh"}
_CONNECTIONS = (1, 16, 64)
_ROUNDS = 5
_UPLINK = "10mbit"
_DOWNLOADS = 4
_PATIENCE_SECONDS = 40.0


def run(options: Options, report: Report) -> None:
    """Measure all three in one run, round by round in turn. Needs root, and an OpenSSH server."""
    if os.geteuid() != 0:
        talk("tunnel: left out, network namespaces need root")
        return
    folder = options.folder / "tunnel"
    folder.mkdir()
    with world(folder) as there, _tunnels(there, folder) as at_home:
        _requests(there, at_home, options, report)
        _tokens(there, options, report)


@contextlib.contextmanager
def _tunnels(there: World, folder: Path) -> Iterator[dict[str, list[int]]]:
    """Put all three up; yields the processes at home of each."""
    public = there.prepare(folder / "home")
    ports = ",".join(f'permitlisten="{port}"' for port in PORTS.values())
    there.relay.allow_simply(public, options=f"restrict,port-forwarding,{ports}")
    there.net.relay.run("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
    time.sleep(0.5)
    home = folder / "home"
    at_home: dict[str, list[int]] = {}
    for name, port in PORTS.items():
        child = there.net.home.popen(
            sys.executable, "-m", "tests.bench.tunnel_child", _MODES[name], str(port), str(home),
            cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n", name
        at_home[name] = [child.pid]
    client = there.net.home.popen(
        "ssh", "-F", "none", "-N", "-i", str(home / "ssh" / "id_ed25519"), "-o", "IdentitiesOnly=yes",
        "-o", f"UserKnownHostsFile={home / 'ssh' / 'known_hosts'}", "-c", "aes128-gcm@openssh.com",
        "-o", "ExitOnForwardFailure=yes", "-R", f"*:{PORTS[OPENSSH]}:127.0.0.1:{PORTS[OPENSSH]}",
        f"chatvault-relay@{RELAY_HOST}",
    )  # fmt: skip
    at_home[OPENSSH].append(client.pid)
    for port in PORTS.values():
        there.relay.wait_for_port(port)
    yield at_home


def _requests(there: World, at_home: dict[str, list[int]], options: Options, report: Report) -> None:
    """Show requests a second, medians of interleaved rounds, and what one costs at home."""
    rounds = 1 if options.is_quick else _ROUNDS
    spent: dict[tuple[str, int], list[float]] = {(name, c): [] for name in PORTS for c in _CONNECTIONS}
    found: dict[tuple[str, int], list[float]] = {(name, c): [] for name in PORTS for c in _CONNECTIONS}
    names = list(PORTS)
    for number in range(rounds):
        talk(f"tunnel: requests, round {number + 1} of {rounds}")
        turn = number % len(names)
        for connections in _CONNECTIONS:
            for name in [*names[turn:], *names[:turn]]:
                before = sum(map(cpu_seconds, at_home[name]))
                run = _load(there, PORTS[name], connections, seconds=max(1.0, options.seconds * 2))
                after = sum(map(cpu_seconds, at_home[name]))
                found[name, connections].append(run["requests"] / run["seconds"])
                spent[name, connections].append((after - before) * 1e6 / run["all_requests"])
    for title, figures, note in (
        ("Through the relay, requests/s at connections", found, ""),
        ("CPU at home, µs a request at connections", spent, "ssh -R: its client and the server behind it"),
    ):
        rows: list[list[Cell]] = [
            [name, *(statistics.median(figures[name, c]) for c in _CONNECTIONS)] for name in names
        ]
        columns = [f"medians of {rounds} interleaved rounds", *map(str, _CONNECTIONS)]
        report.show(Table(title, columns, rows, note))

    def ratio(other: str) -> float:
        pairs = zip(found[OURS, 64], found[other, 64], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)

    report.hold(
        Goal("requests/s at 64, of ssh -R's", ratio(OPENSSH), 0.65, "×", is_floor=True),
        Goal("requests/s at 64, of asyncssh's own forward", ratio(ASYNCSSH), 1.3, "×", is_floor=True),
    )


def _load(there: World, port: int, connections: int, *, seconds: float) -> dict[str, float]:
    command = [
        str(program("loadgen")), "-a", PUBLIC_HOST, "-p", str(port), "-c", str(connections),
        "-t", str(seconds), "-w", "0.3", "-n", "1",
    ]  # fmt: skip
    found: dict[str, float] = json.loads(there.net.device.run(*command))
    assert not any(found[wrong] for wrong in ("failures", "refused", "broken", "cut")), found["problem"]
    return found


def _tokens(there: World, options: Options, report: Report) -> None:
    """Show a token's delay while others download, on a narrow uplink."""
    seconds = 4.0 if options.is_quick else 10.0
    there.net.wire.shape(_UPLINK)
    rows: list[list[Cell]] = []
    middle: dict[str, float] = {}
    for name, port in PORTS.items():
        talk(f"tunnel: tokens beside {_DOWNLOADS} downloads, {name}")
        alone = _delays(there, port, downloads=0, seconds=seconds / 3)
        beside = _delays(there, port, downloads=_DOWNLOADS, seconds=seconds)
        middle[name] = statistics.median(beside) * 1000
        rows.append(
            [
                name,
                statistics.median(alone) * 1000,
                middle[name],
                sorted(beside)[int(len(beside) * 0.95)] * 1000,
            ]
        )
    report.show(
        Table(
            f"A token's delay in ms, {_DOWNLOADS} downloads beside it on {_UPLINK}",
            ["", "alone p50", "beside p50", "beside p95"],
            rows,
        )
    )
    report.hold(Goal("a token's delay beside downloads, p50", middle[OURS], 150.0, "ms"))


def _delays(there: World, port: int, *, downloads: int, seconds: float) -> list[float]:
    is_over = threading.Event()
    bulk = [there.net.device.call(lambda: _open(port, "/bulk")) for _ in range(downloads)]

    def drain(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not is_over.is_set() and connection.recv(65_536):
                pass

    threads = [threading.Thread(target=drain, args=(each,)) for each in bulk]
    for thread in threads:
        thread.start()
    # The queues have to fill before their length says anything.
    time.sleep(2 if downloads else 0)
    tokens = there.net.device.call(lambda: _open(port, "/tokens"))
    delays = []
    try:
        end = time.monotonic() + seconds
        with tokens.makefile("rb") as lines:
            for line in lines:
                now = time.monotonic()
                if line.startswith(b"data: "):
                    delays.append(now - float(line[6:]))
                # A queue of many seconds shows nothing for as long: it is waited for, within reason.
                if now > end and (len(delays) >= 20 or now > end + _PATIENCE_SECONDS):
                    break
    finally:
        is_over.set()
        for each in (tokens, *bulk):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in threads:
            thread.join()
        # What is on its way has to drain, or it would be the next one's burden.
        time.sleep(3 if downloads else 0.2)
    return delays


def _open(port: int, path: str) -> socket.socket:
    made = socket.create_connection((PUBLIC_HOST, port), 10)
    made.settimeout(60)
    made.sendall(f"GET {path} HTTP/1.1\r\nhost: {PUBLIC_HOST}\r\n\r\n".encode())
    return made
